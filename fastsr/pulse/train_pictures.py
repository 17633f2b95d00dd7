"""The pictures that StyleGAN's training learns from: middle squares, all of one side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..data.pictures import StoredPicture
from ..data.squares import middle
from ..errors import InputError
from ..resize import resize


@dataclass(frozen=True)
class Square:
    """The middle square of a picture, resized to a `side` that is not larger; a `StoredPicture`."""

    picture: StoredPicture
    side: int

    @property
    def label(self) -> str:
        """That of the picture."""
        return self.picture.label

    def sides(self) -> tuple[int, int]:
        """Return the sides of the square.

        Raises:
            InputError: the picture is too small.
        """
        height, width = self.picture.sides()
        if min(height, width) < self.side:
            raise InputError(f"{self.label} is {width}x{height} pixels, and resolution={self.side} needs larger ones")
        return self.side, self.side

    def read(self) -> Tensor:
        """Return the colours, uint8 (3, side, side)."""
        found: Tensor = resize(middle(self.picture.read()), size=self.sides())
        return found


def common_side(pictures: Sequence[StoredPicture]) -> int:
    """Return the shorter side of the pictures.

    Raises:
        InputError: it is not the same for all; or one cannot be read.
    """
    found = {min(picture.sides()) for picture in pictures}
    if len(found) > 1:
        raise InputError(
            f"resolution is not given, and the pictures have sides from {min(found)} to {max(found)} pixels; "
            "give one, such as 64"
        )
    return found.pop()


def signed(pictures: Tensor) -> Tensor:
    """Return pictures of 8 bits in [-1, 1], float32."""
    return pictures.float() / 127.5 - 1
