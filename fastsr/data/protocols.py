"""What the input of a method is, and how its result is compared with the reference.

- "rgb8", what networks report: LR files, or MATLAB's bicubic; 8-bit RGB, luma in floating point, `factor` pixels
  shaved at each side.
  A grey picture is its own luma, as in MATLAB.
- "colour8", what code reports that reads every file as colour: the same, but the luma of a grey picture is that of its
  RGB, whose range is smaller: 1.32 dB more for each such picture (Set14 has one, so that its mean is 0.09 dB higher).
- "matlab8", what MATLAB code reports: as rgb8, with luma rounded to 8 bits.
- "dip", of the table of Deep Image Prior: RGB, cropped to multiples of 32 around the centre; the input is always
  Pillow's Lanczos of that crop; 4 pixels shaved for luma, none for RGB. The table's bicubic rows are not by it: they
  are MATLAB's bicubic of the whole picture, up by bicubic, and cropped then.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from .. import metrics
from ..errors import InputError
from ..images import read
from ..resize import resize
from .benchmarks import Sample

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
    rounding: metrics.Protocol
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
        raise InputError(f"protocol={name!r} is unknown; use one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def eight_bits(img: Any) -> Tensor:
    """Return the colours of one image of any kind rounded to 8 bits, uint8 (C, H, W) on the CPU; alpha is ignored."""
    return (read(img).pixels[0] * 255 + 0.5).floor().to(torch.uint8).cpu()


def _prepare_network(sample: Sample, factor: int, colour: bool = False) -> Case:
    reference = _colour(eight_bits(sample.hr)) if colour else eight_bits(sample.hr)
    hr = _modcrop(reference, factor, sample)
    height, width = hr.shape[-2] // factor, hr.shape[-1] // factor

    def downscale(picture: Tensor, size: tuple[int, int]) -> Tensor:
        return resize(picture, size=size, border=sample.border)

    if sample.lr is None:
        return Case(hr, downscale(hr, (height, width)), downscale)
    lr = eight_bits(sample.lr)
    channels = max(len(hr), len(lr))  # grey beside colour is colour
    hr, lr = hr.expand(channels, -1, -1), lr.expand(channels, -1, -1)
    if lr.shape[-2:] != (height, width):
        raise InputError(
            f"{str(sample.lr)!r} is {_size(lr)} pixels, and {str(sample.hr)!r} of {_size(reference)} needs "
            f"{width}x{height} at factor={factor}"
        )
    return Case(hr, lr, downscale)


def _prepare_dip(sample: Sample, factor: int) -> Case:
    colour = _modcrop(_colour(eight_bits(sample.hr)), factor, sample)
    multiple = math.lcm(DIP_MULTIPLE, factor)
    height, width = (side // multiple * multiple for side in colour.shape[-2:])
    if not height or not width:
        raise InputError(f"{str(sample.hr)!r} is {_size(colour)} pixels; protocol dip needs {multiple} on each side")
    top, left = (colour.shape[-2] - height) // 2, (colour.shape[-1] - width) // 2
    hr = colour[:, top : top + height, left : left + width]
    lr = eight_bits(_pillow_lanczos(hr, (height // factor, width // factor)))
    return Case(hr, lr, _pillow_lanczos)


def _colour(picture: Tensor) -> Tensor:
    return picture.expand(3, -1, -1)


def _modcrop(picture: Tensor, factor: int, sample: Sample) -> Tensor:
    """Crop to multiples of the factor, as MATLAB code does: at the right and the bottom."""
    height, width = (side // factor * factor for side in picture.shape[-2:])
    if not height or not width:
        raise InputError(f"{str(sample.hr)!r} is {_size(picture)} pixels, too small for factor={factor}")
    return picture[:, :height, :width]


def _pillow_lanczos(picture: Tensor, size: tuple[int, int]) -> Image.Image:
    array = picture.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array).resize((size[1], size[0]), Image.Resampling.LANCZOS)


def _size(picture: Tensor) -> str:
    return f"{picture.shape[-1]}x{picture.shape[-2]}"


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
