"""Images of any kind in, results of the same kind out."""

from .picture import Picture, arranged, check_output, each, load, read, save, several, single

__all__ = ["Picture", "arranged", "check_output", "each", "load", "read", "save", "several", "single"]
