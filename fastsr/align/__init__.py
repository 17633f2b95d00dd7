"""Faces in ordinary pictures: found, cut out upright as those of FFHQ are, and put back."""

from .faces import Face, Landmarks, NoFaceError
from .finding import find_faces
from .warp import align, paste

__all__ = ["Face", "Landmarks", "NoFaceError", "align", "find_faces", "paste"]
