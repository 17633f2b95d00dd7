"""Faces in ordinary photographs: find them, crop them upright as FFHQ does, and paste results back."""

from .detection import find_faces
from .faces import Face, Landmarks, NoFaceError
from .warp import align, paste

__all__ = ["Face", "Landmarks", "NoFaceError", "align", "find_faces", "paste"]
