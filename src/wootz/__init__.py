"""wootz: from unlabelled electron micrographs to classes, masks and measurements with error bars."""

__version__ = "0.1.0.dev0"
