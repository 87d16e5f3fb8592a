"""leadctl: the operator's command line, the same against AWS and the local run."""

__version__ = "0.2.0"
