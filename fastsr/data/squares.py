"""What `fastsr prepare` makes of one picture for the training of SR3."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..codecs import decode_file
from ..errors import InputError
from ..resize import resize
from .pictures import three_channels
from .recipe import Made, png_bytes
from .sizes import hr_part, lr_part, sr_part


@dataclass(frozen=True)
class Squares:
    """How squares of two sizes are prepared.

    Attributes:
        sizes: the sides of LR and of HR in pixels; the second is a multiple of the first.
    """

    sizes: tuple[int, ...]

    def check(self) -> None:
        """Raise `InputError` for sizes that cannot be used."""
        if len(self.sizes) != 2 or self.sizes[0] < 1:
            raise InputError(f"sizes={self.sizes!r} cannot be used; give the sides of LR and HR, such as 16 and 128")
        if self.high <= self.low or self.high % self.low:
            raise InputError(
                f"sizes={self.sizes!r} cannot be used; the second one, of HR, is a multiple of the first, of LR, "
                "such as 16 and 128"
            )

    @property
    def low(self) -> int:
        """The side of LR."""
        return self.sizes[0]

    @property
    def high(self) -> int:
        """The side of HR."""
        return self.sizes[1]

    @property
    def parts(self) -> list[str]:
        """What is made: hr_128, lr_16 and sr_16_128."""
        return [hr_part(self.high), lr_part(self.low), sr_part(self.low, self.high)]

    def names(self, picture: Path, height: int, width: int) -> list[str]:
        """Return the names under which a picture of this size is in each part.

        Raises:
            InputError: it is too small.
        """
        if min(height, width) < self.high:
            raise InputError(
                f"{str(picture)!r} is {width}x{height} pixels; squares of {self.high}x{self.high} need {self.high} on "
                "each side"
            )
        return [picture.stem]

    def make(self, picture: Path) -> list[Made]:
        """Read a picture and return all that is made of its middle square.

        8 bits, RGB, without alpha. Each part is what `fastsr.resize` makes of the one before.

        Raises:
            FastsrError: it cannot be read, or is too small.
        """
        whole = three_channels(decode_file(picture, "IN").values)
        (name,) = self.names(picture, *whole.shape[1:])
        made, pixels = [], middle(whole)
        for part, wanted in zip(self.parts, (self.high, self.low, self.high), strict=True):
            pixels = resize(pixels, size=(wanted, wanted))
            made.append(Made(part, name, png_bytes(pixels)))
        return made


def middle(pixels: Tensor) -> Tensor:
    """Return the largest square in the middle of (C, H, W)."""
    height, width = pixels.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[:, top : top + side, left : left + side]
