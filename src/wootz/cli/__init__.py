"""The command line: parse, compose the configuration, call one function, print its summary."""
