"""Pictures as training takes them: 8 bits, three channels, wherever they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .. import codecs
from .protocols import eight_bits

PATH = "picture"
"""What errors call the argument that a picture's file is."""


class StoredPicture(Protocol):
    """A picture that can be read again and again, in any process."""

    @property
    def label(self) -> str:
        """What errors call it."""

    def sides(self) -> tuple[int, int]:
        """Return its sides in pixels, without decoding it; a file may have them in either order.

        Raises:
            FastsrError: it cannot be read.
        """

    def read(self) -> Tensor:
        """Return its colours, uint8 (3, H, W); see `three_channels`.

        Raises:
            FastsrError: it cannot be read; the message names it.
        """


@dataclass(frozen=True)
class PictureFile:
    """A picture in an image file of any kind that `fastsr.images.read` takes."""

    path: Path

    @property
    def label(self) -> str:
        """The path."""
        return repr(str(self.path))

    def sides(self) -> tuple[int, int]:
        """Return the height and the width that the file's header states, before it is turned upright."""
        try:
            with Image.open(self.path) as image:
                return image.height, image.width
        except Exception:  # Pillow raises almost anything for a broken file; who reads it says what is wrong
            _, height, width = self.read().shape
            return height, width

    def read(self) -> Tensor:
        """Return the colours, upright."""
        return three_channels(codecs.decode_file(self.path, PATH).values)


def three_channels(values: np.ndarray) -> Tensor:
    """Return decoded pixels, (H, W, C) as `codecs.Raster` has them, as uint8 (3, H, W): grey is repeated."""
    return colours(values).expand(3, -1, -1)


def colours(values: np.ndarray) -> Tensor:
    """Return decoded pixels, (H, W, C) as `codecs.Raster` has them, as uint8 (C', H, W); C' is 1 for grey, else 3.

    Alpha is ignored, and more than 8 bits are rounded.
    """
    if values.dtype != np.uint8:
        return eight_bits(values)
    return torch.from_numpy(values[..., : 1 if values.shape[2] <= 2 else 3]).permute(2, 0, 1)
