"""What metrics see of a picture: its colours, luma or grey from 0 to 255, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .checks import whole_number
from .errors import InputError
from .images import read, several

PEAK = 255.0
LUMA = (65.481, 128.553, 24.966)
GREY = (0.298936021293775, 0.587043074451121, 0.114020904255103)
"""The weights of MATLAB's rgb2gray."""


def pictures(images: Any, name: str) -> tuple[list[Tensor], bool]:
    """Return the colours (C, H, W) in [0, 1] of every picture, and whether there is just one and no sequence or batch.

    Raises:
        InputError, InputTypeError, MissingFileError: what `images.read` raises, and for an empty sequence.
    """
    if several(images):
        if not images:
            raise InputError(f"{name} is an empty list; give at least one picture")
        return [one for i, image in enumerate(images) for one in pictures(image, f"{name}[{i}]")[0]], False
    picture = read(images, name)
    return list(picture.pixels.detach()), picture.origin.ndim < 4


def check_shave(shave: int) -> None:
    """Refuse a `shave` that no picture can make right.

    Raises:
        InputTypeError: it is no whole number.
        InputError: it is negative.
    """
    if whole_number("shave", shave, "a whole number of pixels") < 0:
        raise InputError(f"shave={shave} is negative; give the number of pixels to leave out at each border")


def shaved(planes: Tensor, shave: int) -> Tensor:
    """Return (C, H, W) without `shave` pixels at each border.

    Raises:
        InputError: nothing is left.
    """
    height, width = planes.shape[-2:]
    if 2 * shave >= min(height, width):
        raise InputError(f"shave={shave} leaves nothing of {size_of(planes)} pixels")
    return planes[:, shave : height - shave, shave : width - shave]


def size_of(planes: Tensor) -> str:
    """Return the size of (..., H, W) in words, width first."""
    return f"{planes.shape[-1]}x{planes.shape[-2]}"


def levels(colours: Tensor) -> Tensor:
    """Return colours in [0, 1] from 0 to 255, float64."""
    return colours.to(torch.float64) * PEAK


def levels8(colours: Tensor) -> Tensor:
    """Return colours in [0, 1] as the integers from 0 to 255 that a file of 8 bits has, float64."""
    return _rounded(levels(colours))


def luma(colours: Tensor) -> Tensor:
    """Return BT.601 luma from 16 to 235, (1, H, W), of colours (3, H, W) from 0 to 255; grey is its own luma."""
    if len(colours) == 1:
        return colours
    weights = torch.tensor(LUMA, dtype=torch.float64, device=colours.device)
    return (torch.tensordot(weights, colours, 1) / PEAK + 16)[None]


def luma8(colours: Tensor) -> Tensor:
    """Return what MATLAB makes of 8-bit colours: `luma`, rounded."""
    if len(colours) == 1:
        return colours
    # MATLAB's order of operations: ties of the rounding depend on it.
    return _rounded(_weighted(colours, [weight * (1 / PEAK) for weight in LUMA]) + 16)


def grey8(colours: Tensor) -> Tensor:
    """Return MATLAB's rgb2gray of 8-bit colours, rounded, (1, H, W) from 0 to 255."""
    return colours if len(colours) == 1 else _rounded(_weighted(colours, GREY))


def _weighted(colours: Tensor, weights: Sequence[float]) -> Tensor:
    red, green, blue = (weight * plane for weight, plane in zip(weights, colours, strict=True))
    return (red + green + blue)[None]


def _rounded(values: Tensor) -> Tensor:
    return (values + 0.5).floor()
