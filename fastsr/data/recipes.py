"""What `fastsr prepare` makes of one picture."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..checks import input_error, spell
from ..errors import InputError
from ..images.resizing import resize
from ..io.codecs import FORMATS, decode_file, encode
from .benchmarks import hr_part, lr_part, sr_part
from .stored_images import colours, three_channels

HR = "HR"


@dataclass(frozen=True)
class Made:
    """A PNG file: the part it belongs to, its name without suffix, its bytes."""

    part: str
    name: str
    png: bytes


@dataclass(frozen=True)
class Recipe:
    """How images are prepared.

    Attributes:
        factors: HR side over LR side, distinct, each at least 2, ascending.
        sr: whether LR images are also upscaled again.
        crop: the side of the squares into which images are cut, in pixels of HR; None for whole pictures.
        step: the distance of squares, from left to left and from top to top.
    """

    factors: tuple[int, ...]
    sr: bool = False
    crop: int | None = None
    step: int | None = None

    def check(self) -> None:
        """Raise `InputError` for values that cannot be used."""
        if not self.factors or min(self.factors) < 2:
            raise input_error("factors", self.factors, "cannot be used", "give at least one, each at least 2")
        if (self.crop is None) != (self.step is None):
            raise input_error("crop", self.crop, f"and {spell('step', self.step)}: give both or none")
        for name, value in (("crop", self.crop), ("step", self.step)):
            if value is not None and (value < 1 or value % self.multiple):
                raise InputError(f"{name}={value} cannot be used; give a positive multiple of {self.multiple}")

    @property
    def multiple(self) -> int:
        """What the sides of HR images are multiples of."""
        return math.lcm(*self.factors)

    @property
    def parts(self) -> list[str]:
        """What is made: HR, and for each factor LR_bicubic/X4 and perhaps SR_bicubic/X4."""
        small = [part for factor in self.factors for part in (_lr(factor), *([_sr(factor)] if self.sr else []))]
        return [HR, *small]

    def names(self, image: Path, height: int, width: int) -> list[str]:
        """Return the names under which an image of this size, before it is cropped, is in each part.

        Raises:
            InputError: it is too small.
        """
        multiple = self.multiple
        if self.crop is None:
            if min(height, width) < multiple:
                raise InputError(f"{str(image)!r} is {width}x{height} pixels; it needs {multiple} on each side")
            return [image.stem]
        if min(height, width) < self.crop:
            raise InputError(f"{str(image)!r} is {width}x{height} pixels, smaller than {spell('crop', self.crop)}")
        count = math.prod(len(self._starts(side // multiple * multiple)) for side in (height, width))
        return [f"{image.stem}_s{number:03d}" for number in range(1, count + 1)]

    def make(self, image: Path) -> list[Made]:
        """Read an image and return all that is made of it; squares of LR and SR are cut from the whole.

        8 bits, RGB or grey, without alpha. Each part is what `fastsr.resize` makes of the one before.

        Raises:
            FastsrError: it cannot be read, or is too small.
        """
        whole = colours(decode_file(image, "IN").values)
        height, width = (side // self.multiple * self.multiple for side in whole.shape[1:])
        names = self.names(image, *whole.shape[1:])
        hr = whole[:, :height, :width]
        made = list(self._cut(HR, hr, 1, names))
        for factor in self.factors:
            lr = resize(hr, size=(height // factor, width // factor))
            made += self._cut(_lr(factor), lr, factor, names)
            if self.sr:
                made += self._cut(_sr(factor), resize(lr, size=(height, width)), 1, names)
        return made

    def _cut(self, part: str, image: Tensor, factor: int, names: list[str]) -> Iterator[Made]:
        """Cut an image that is smaller than HR by a factor."""
        if self.crop is None:
            yield Made(part, names[0], png_bytes(image))
            return
        rows, columns = (self._starts(side * factor) for side in image.shape[1:])
        places = [(top // factor, left // factor) for top in rows for left in columns]
        side = self.crop // factor
        for name, (top, left) in zip(names, places, strict=True):
            yield Made(part, name, png_bytes(image[:, top : top + side, left : left + side]))

    def _starts(self, side: int) -> list[int]:
        """Where squares begin along a side: at every step, and the last one at the end."""
        assert self.crop is not None
        assert self.step is not None
        return sorted({*range(0, side - self.crop, self.step), side - self.crop})


def _lr(factor: int) -> str:
    return f"LR_bicubic/X{factor}"


def _sr(factor: int) -> str:
    return f"SR_bicubic/X{factor}"


def png_bytes(image: Tensor) -> bytes:
    """Return an image, uint8 (1 or 3, H, W), as a PNG file."""
    file = io.BytesIO()
    encode(file, image.permute(1, 2, 0).contiguous().numpy(), FORMATS[".png"], None, None)
    return file.getvalue()


@dataclass(frozen=True)
class SquareRecipe:
    """How squares of two sizes are prepared.

    Attributes:
        sizes: the sides of LR and of HR in pixels; the second is a multiple of the first.
    """

    sizes: tuple[int, ...]

    def check(self) -> None:
        """Raise `InputError` for sizes that cannot be used."""
        if len(self.sizes) != 2 or self.sizes[0] < 1:
            raise input_error("sizes", self.sizes, "cannot be used", "give the sides of LR and HR, such as 16 and 128")
        if self.high <= self.low or self.high % self.low:
            raise input_error(
                "sizes",
                self.sizes,
                "cannot be used",
                "the second one, of HR, is a multiple of the first, of LR, such as 16 and 128",
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

    def names(self, image: Path, height: int, width: int) -> list[str]:
        """Return the names under which an image of this size is in each part.

        Raises:
            InputError: it is too small.
        """
        if min(height, width) < self.high:
            raise InputError(
                f"{str(image)!r} is {width}x{height} pixels; squares of {self.high}x{self.high} need {self.high} on "
                "each side"
            )
        return [image.stem]

    def make(self, image: Path) -> list[Made]:
        """Read an image and return all that is made of its middle square.

        8 bits, RGB, without alpha. Each part is what `fastsr.resize` makes of the one before.

        Raises:
            FastsrError: it cannot be read, or is too small.
        """
        whole = three_channels(decode_file(image, "IN").values)
        (name,) = self.names(image, *whole.shape[1:])
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
