"""Faces in ordinary images: found, cut out upright as those of FFHQ are, and put back."""

from .detection import find_faces
from .faces import Face, Landmarks, NoFaceError
from .warp import align, paste

__all__ = ["Face", "Landmarks", "NoFaceError", "align", "find_faces", "paste"]
