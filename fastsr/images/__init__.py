"""Images of any kind in, results of the same kind out; picture.py describes the way of an image."""

from .picture import Picture, check_output, flatten, is_sequence, load, map_images, read, save, unflatten_like

__all__ = ["Picture", "check_output", "flatten", "is_sequence", "load", "map_images", "read", "save", "unflatten_like"]
