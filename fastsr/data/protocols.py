"""What the input of a method is, and how its result is compared with the reference.

- "rgb8", what networks report: LR files, or MATLAB's bicubic; 8-bit RGB, luma in floating point, `factor` pixels
  shaved at each side.
  A grey image is its own luma, as in MATLAB.
- "colour8", what code reports that reads every file as colour: the same, but the luma of a grey image is that of its
  RGB, whose range is smaller: 1.32 dB more for each such image (Set14 has one, so that its mean is 0.09 dB higher).
- "matlab8", what MATLAB code reports: as rgb8, with luma rounded to 8 bits.
- "dip", of the table of Deep Image Prior: RGB, cropped to multiples of 32 around the centre; the input is always
  Pillow's Lanczos of that crop; 4 pixels shaved for luma, none for RGB. The table's bicubic rows are not by it: they
  are MATLAB's bicubic of the whole image, up by bicubic, and cropped then.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from PIL import Image
from torch import Tensor

from .. import metrics
from ..checks import input_error, spell
from ..errors import InputError
from ..images.resizing import resize
from ..metrics.reference import Protocol as Rounding
from .benchmarks import Sample
from .stored_images import to_uint8

DIP_MULTIPLE = 32
DIP_SHAVE = 4

Downscale = Callable[[Tensor, tuple[int, int]], Any]


@dataclass(frozen=True, eq=False)
class Case:
    """A sample as a protocol has it.

    Attributes:
        hr: the reference, uint8 (C, H, W); sides are multiples of the factor.
        lr: the input, uint8 (C, h, w).
        downscale: how `lr` was made from `hr`, for `metrics.lr_consistency`.
    """

    hr: Tensor
    lr: Tensor
    downscale: Downscale


@dataclass(frozen=True)
class Scores:
    """How a result compares with its reference: PSNR in dB on Y and on RGB, SSIM on Y, `metrics.lr_consistency`."""

    psnr_y: float
    psnr_rgb: float
    ssim: float
    lr_consistency: float


@dataclass(frozen=True)
class Protocol:
    """How samples are prepared and results are scored.

    Attributes:
        prepare: makes the case of a sample at a factor.
        rounding: the protocol of `fastsr.metrics`.
        shave_y: pixels left out at each border for Y, at a factor.
        shave_rgb: likewise for RGB.
        kernel: the filter by which inputs are made, as `fastsr.resize` has it, for methods that make use of it.
    """

    prepare: Callable[[Sample, int], Case]
    rounding: Rounding
    shave_y: Callable[[int], int]
    shave_rgb: Callable[[int], int]
    kernel: str

    def score(self, result: Tensor, case: Case, factor: int) -> Scores:
        """Compare a result, uint8 of the size of the reference, with it and with the input."""
        y, rgb = self.shave_y(factor), self.shave_rgb(factor)
        return Scores(
            psnr_y=_number(metrics.psnr(result, case.hr, shave=y, protocol=self.rounding)),
            psnr_rgb=_number(metrics.psnr(result, case.hr, channel="rgb", shave=rgb, protocol=self.rounding)),
            ssim=_number(metrics.ssim(result, case.hr, shave=y, protocol=self.rounding)),
            lr_consistency=_number(metrics.lr_consistency(result, case.lr, downscale=case.downscale)),
        )


def find_protocol(name: str) -> Protocol:
    """Return the protocol called `name`.

    Raises:
        InputError: there is no such protocol.
    """
    if name not in PROTOCOLS:
        raise input_error("protocol", name, "is unknown", f"use one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def _prepare_network(sample: Sample, factor: int, colour: bool = False) -> Case:
    reference = _colour(to_uint8(sample.hr)) if colour else to_uint8(sample.hr)
    hr = _modcrop(reference, factor, sample)
    height, width = hr.shape[-2] // factor, hr.shape[-1] // factor

    def downscale(image: Tensor, size: tuple[int, int]) -> Tensor:
        return resize(image, size=size, border=sample.border)

    if sample.lr is None:
        return Case(hr, downscale(hr, (height, width)), downscale)
    lr = to_uint8(sample.lr)
    channels = max(len(hr), len(lr))  # grey beside colour is colour
    hr, lr = hr.expand(channels, -1, -1), lr.expand(channels, -1, -1)
    if lr.shape[-2:] != (height, width):
        raise InputError(
            f"{str(sample.lr)!r} is {_size(lr)} pixels, and {str(sample.hr)!r} of {_size(reference)} "
            f"needs {width}x{height} at {spell('factor', factor)}"
        )
    return Case(hr, lr, downscale)


def _prepare_dip(sample: Sample, factor: int) -> Case:
    colour = _modcrop(_colour(to_uint8(sample.hr)), factor, sample)
    multiple = math.lcm(DIP_MULTIPLE, factor)
    height, width = (side // multiple * multiple for side in colour.shape[-2:])
    if not height or not width:
        raise InputError(f"{str(sample.hr)!r} is {_size(colour)} pixels; protocol dip needs {multiple} on each side")
    top, left = (colour.shape[-2] - height) // 2, (colour.shape[-1] - width) // 2
    hr = colour[:, top : top + height, left : left + width]
    lr = to_uint8(_pillow_lanczos(hr, (height // factor, width // factor)))
    return Case(hr, lr, _pillow_lanczos)


def _colour(image: Tensor) -> Tensor:
    return image.expand(3, -1, -1)


def _modcrop(image: Tensor, factor: int, sample: Sample) -> Tensor:
    """Crop to multiples of the factor, as MATLAB code does: at the right and the bottom."""
    height, width = (side // factor * factor for side in image.shape[-2:])
    if not height or not width:
        raise InputError(f"{str(sample.hr)!r} is {_size(image)} pixels, too small for {spell('factor', factor)}")
    return image[:, :height, :width]


def _pillow_lanczos(image: Tensor, size: tuple[int, int]) -> Image.Image:
    array = image.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array).resize((size[1], size[0]), Image.Resampling.LANCZOS)


def _size(image: Tensor) -> str:
    return f"{image.shape[-1]}x{image.shape[-2]}"


def _number(value: float | list[float]) -> float:
    assert isinstance(value, float)
    return value


def _factor(factor: int) -> int:
    return factor


PROTOCOLS = {
    "rgb8": Protocol(_prepare_network, "rgb8", _factor, _factor, "bicubic"),
    "colour8": Protocol(partial(_prepare_network, colour=True), "rgb8", _factor, _factor, "bicubic"),
    "matlab8": Protocol(_prepare_network, "matlab8", _factor, _factor, "bicubic"),
    "dip": Protocol(_prepare_dip, "rgb8", lambda factor: DIP_SHAVE, lambda factor: 0, "lanczos3"),
}
