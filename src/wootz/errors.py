"""Errors that a user can act on. Each message names the file or key and says what to do."""


class WootzError(ValueError):
    """Something in the user's input, archive or options is wrong; the message says what to do.

    The command line prints the message alone and exits with status 2; any other exception is a defect of
    wootz and keeps its traceback.
    """


class ReadError(WootzError):
    """An image file cannot be read, or its metadata contradict each other."""


class ArchiveError(WootzError):
    """A folder is no archive, holds a damaged file, or is asked for something that it does not hold."""


class CheckpointError(WootzError):
    """A checkpoint is missing, damaged or of another architecture."""
