"""What `fastsr prepare` makes of one picture."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..codecs import FORMATS, decode_file, encode
from ..errors import InputError
from ..resize import resize
from .pictures import colours

HR = "HR"


@dataclass(frozen=True)
class Made:
    """A PNG file: the part it belongs to, its name without suffix, its bytes."""

    part: str
    name: str
    png: bytes


@dataclass(frozen=True)
class Recipe:
    """How pictures are prepared.

    Attributes:
        factors: HR side over LR side, distinct, each at least 2, ascending.
        sr: whether LR pictures are also enlarged again.
        crop: the side of the squares into which pictures are cut, in pixels of HR; None for whole pictures.
        step: the distance of squares, from left to left and from top to top.
    """

    factors: tuple[int, ...]
    sr: bool = False
    crop: int | None = None
    step: int | None = None

    def check(self) -> None:
        """Raise `InputError` for values that cannot be used."""
        if not self.factors or min(self.factors) < 2:
            raise InputError(f"factors={self.factors!r} cannot be used; give at least one, each at least 2")
        if (self.crop is None) != (self.step is None):
            raise InputError(f"crop={self.crop!r} and step={self.step!r}: give both or none")
        for name, value in (("crop", self.crop), ("step", self.step)):
            if value is not None and (value < 1 or value % self.multiple):
                raise InputError(f"{name}={value} cannot be used; give a positive multiple of {self.multiple}")

    @property
    def multiple(self) -> int:
        """What the sides of HR pictures are multiples of."""
        return math.lcm(*self.factors)

    @property
    def parts(self) -> list[str]:
        """What is made: HR, and for each factor LR_bicubic/X4 and perhaps SR_bicubic/X4."""
        small = [part for factor in self.factors for part in (_lr(factor), *([_sr(factor)] if self.sr else []))]
        return [HR, *small]

    def names(self, picture: Path, height: int, width: int) -> list[str]:
        """Return the names under which a picture of this size, before it is cropped, is in each part.

        Raises:
            InputError: it is too small.
        """
        multiple = self.multiple
        if self.crop is None:
            if min(height, width) < multiple:
                raise InputError(f"{str(picture)!r} is {width}x{height} pixels; it needs {multiple} on each side")
            return [picture.stem]
        if min(height, width) < self.crop:
            raise InputError(f"{str(picture)!r} is {width}x{height} pixels, smaller than crop={self.crop}")
        count = math.prod(len(self._starts(side // multiple * multiple)) for side in (height, width))
        return [f"{picture.stem}_s{number:03d}" for number in range(1, count + 1)]

    def make(self, picture: Path) -> list[Made]:
        """Read a picture and return all that is made of it; squares of LR and SR are cut from the whole.

        8 bits, RGB or grey, without alpha. Each part is what `fastsr.resize` makes of the one before.

        Raises:
            FastsrError: it cannot be read, or is too small.
        """
        whole = colours(decode_file(picture, "IN").values)
        height, width = (side // self.multiple * self.multiple for side in whole.shape[1:])
        names = self.names(picture, *whole.shape[1:])
        hr = whole[:, :height, :width]
        made = list(self._cut(HR, hr, 1, names))
        for factor in self.factors:
            lr = resize(hr, size=(height // factor, width // factor))
            made += self._cut(_lr(factor), lr, factor, names)
            if self.sr:
                made += self._cut(_sr(factor), resize(lr, size=(height, width)), 1, names)
        return made

    def _cut(self, part: str, picture: Tensor, factor: int, names: list[str]) -> Iterator[Made]:
        """Cut a picture that is smaller than HR by a factor."""
        if self.crop is None:
            yield Made(part, names[0], png_bytes(picture))
            return
        rows, columns = (self._starts(side * factor) for side in picture.shape[1:])
        places = [(top // factor, left // factor) for top in rows for left in columns]
        side = self.crop // factor
        for name, (top, left) in zip(names, places, strict=True):
            yield Made(part, name, png_bytes(picture[:, top : top + side, left : left + side]))

    def _starts(self, side: int) -> list[int]:
        """Where squares begin along a side: at every step, and the last one at the end."""
        assert self.crop is not None
        assert self.step is not None
        return sorted({*range(0, side - self.crop, self.step), side - self.crop})


def _lr(factor: int) -> str:
    return f"LR_bicubic/X{factor}"


def _sr(factor: int) -> str:
    return f"SR_bicubic/X{factor}"


def png_bytes(picture: Tensor) -> bytes:
    """Return a picture, uint8 (1 or 3, H, W), as a PNG file."""
    file = io.BytesIO()
    encode(file, picture.permute(1, 2, 0).contiguous().numpy(), FORMATS[".png"], None, None)
    return file.getvalue()
