"""The colours, luma or grey of images that metrics compare: planes from 0 to 255 in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..checks import input_error, whole_number
from ..images import flatten, is_sequence, read

PEAK = 255.0
"""The largest value of a plane."""
LUMA = (65.481, 128.553, 24.966)
"""BT.601 weights of R, G, B in [0, 1] for luma from 16 to 235."""
GREY = (0.298936021293775, 0.587043074451121, 0.114020904255103)
"""The weights of R, G, B in MATLAB's rgb2gray."""


def read_pixels(img: Any, name: str) -> tuple[list[Tensor], bool]:
    """Return the colours (C, H, W) in [0, 1] of every image, and whether `img` is one image: no sequence and no batch.

    Args:
        img: an image of any kind, or a nested sequence of images and batches.
        name: what errors call it.

    Raises:
        InputError: a sequence is empty.
        InputError, InputTypeError, MissingFileError: as for `images.read`.
    """
    found = [read(one, what) for one, what in flatten(img, name)]
    single = not is_sequence(img) and found[0].origin.ndim < 4
    return [pixels for image in found for pixels in image.pixels.detach()], single


def check_shave(shave: int) -> None:
    """Check `shave` as far as it does not depend on the image.

    Raises:
        InputTypeError: `shave` is not a whole number.
        InputError: `shave` is negative.
    """
    if whole_number("shave", shave, "a whole number of pixels") < 0:
        raise input_error("shave", shave, "is negative", "give the number of pixels to crop at each border")


def crop_border(planes: Tensor, shave: int) -> Tensor:
    """Return (C, H, W) without `shave` pixels at each border.

    Raises:
        InputError: the image is too small.
    """
    height, width = planes.shape[-2:]
    if 2 * shave >= min(height, width):
        raise input_error("shave", shave, f"leaves nothing of {size_of(planes)} pixels")
    return planes[:, shave : height - shave, shave : width - shave]


def size_of(planes: Tensor) -> str:
    """Return the size of (..., H, W) as text, width first, such as 640x480."""
    return f"{planes.shape[-1]}x{planes.shape[-2]}"


def levels(colours: Tensor) -> Tensor:
    """Scale colours from [0, 1] to 0 to 255, in float64."""
    return colours.to(torch.float64) * PEAK


def levels8(colours: Tensor) -> Tensor:
    """Round colours in [0, 1] to the integers from 0 to 255 of an 8-bit file, in float64."""
    return _round(levels(colours))


def luma(colours: Tensor) -> Tensor:
    """Return BT.601 luma from 16 to 235, (1, H, W), of colours (3, H, W) from 0 to 255; grey is returned unchanged."""
    if len(colours) == 1:
        return colours
    weights = torch.tensor(LUMA, dtype=torch.float64, device=colours.device)
    return (torch.tensordot(weights, colours, 1) / PEAK + 16)[None]


def luma8(colours: Tensor) -> Tensor:
    """Return the rounded luma of 8-bit colours, (1, H, W), to the bit as MATLAB does."""
    if len(colours) == 1:
        return colours
    # The order of operations is MATLAB's: ties of the rounding depend on it.
    return _round(_weighted_sum(colours, [weight * (1 / PEAK) for weight in LUMA]) + 16)


def grey8(colours: Tensor) -> Tensor:
    """Return MATLAB's rgb2gray of 8-bit colours, rounded, (1, H, W) from 0 to 255."""
    return colours if len(colours) == 1 else _round(_weighted_sum(colours, GREY))


def _weighted_sum(colours: Tensor, weights: Sequence[float]) -> Tensor:
    red, green, blue = (weight * plane for weight, plane in zip(weights, colours, strict=True))
    return (red + green + blue)[None]


def _round(values: Tensor) -> Tensor:
    return (values + 0.5).floor()
