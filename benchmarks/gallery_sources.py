"""The pictures of the gallery: all are in the public domain, or given to it by those who took them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from skimage import data
from torch import Tensor

import fastsr
from benchmarks.pulse_faces import colours
from benchmarks.report import data_folder

SIDE = 192
FACE_SIDE = 64


@dataclass(frozen=True)
class Photo:
    """A square of `SIDE` pixels of a picture that ships with scikit-image.

    Attributes:
        load: reads the picture.
        top, left: of the square.
    """

    load: Callable[[], np.ndarray]
    top: int
    left: int

    def read(self) -> Tensor:
        """Return the square, uint8 (3, SIDE, SIDE)."""
        pixels = torch.from_numpy(self.load())
        pixels = pixels[None].expand(3, -1, -1) if pixels.ndim == 2 else pixels.movedim(2, 0)
        return pixels[:, self.top : self.top + SIDE, self.left : self.left + SIDE]


ASTRONAUT = Photo(data.astronaut, 10, 130)  # NASA, public domain
CAT = Photo(data.chelsea, 30, 120)  # Stefan van der Walt, CC0
COFFEE = Photo(data.coffee, 60, 230)  # Rachel Michetti, CC0
GRAVEL = Photo(data.gravel, 0, 0)  # CC0Textures, CC0
PHOTOS = (ASTRONAUT, CAT, COFFEE, GRAVEL)
EVERY = 12
"""Which faces of a folder are shown: none is chosen for how its results look."""


def faces(count: int) -> list[Tensor]:
    """Return every twelfth face of faces/val, official portraits in the public domain, uint8 (3, 256, 256).

    Raises:
        SystemExit: FASTSR_DATA names no folder that has as many.
    """
    folder = data_folder("faces/val") / "faces" / "val"
    found = sorted(folder.glob("*.jpg"))[::EVERY][:count]
    if len(found) < count:
        raise SystemExit(f"{folder} has {len(found)} of the {count} faces that are needed")
    return [colours(path) for path in found]


def enlarged(picture: Tensor, times: int) -> Tensor:
    """Return (C, H, W) with each pixel as a square of so many pixels a side."""
    return picture.repeat_interleave(times, -1).repeat_interleave(times, -2)


def small_faces(count: int) -> list[Tensor]:
    """Return the same at 64x64 pixels."""
    return [fastsr.resize(face, size=(FACE_SIDE, FACE_SIDE)) for face in faces(count)]
