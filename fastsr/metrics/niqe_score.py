"""NIQE of images."""

from __future__ import annotations

import os
from typing import Any, Literal

import torch
from torch import Tensor

from ..checks import choice, input_error
from ..errors import InputError
from ..runtime.device import resolve_device
from .color import check_shave, crop_border, grey8, levels8, luma8, read_pixels, size_of
from .niqe_features import BLOCK, count_blocks, measure
from .niqe_model import LEAST_BLOCKS, LIVE, PristineModel, load

Channel = Literal["grey", "y"]

PLANES = {"grey": grey8, "y": luma8}
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def niqe(
    img: Any,
    *,
    channel: Channel = "grey",
    shave: int = 0,
    model: str | os.PathLike[str] | PristineModel | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "float64",
) -> float | list[float]:
    """Return NIQE (Mittal et al., 2013), the distance of an image's statistics from those of good photographs.

    Lower is better. NIQE needs no reference. With channel="grey" it equals that of the authors' MATLAB code, see
    docs/niqe.md. Images are rounded to 8 bits first, as in a file, and so is their grey or luma; alpha is ignored. They
    are cropped to whole blocks of 96x96 pixels.

    Args:
        img: an image of any kind that `images.read` takes, or a list or batch of them.
        channel: "grey" for MATLAB's rgb2gray, "y" for BT.601 luma from 16 to 235, which much super-resolution code
            uses; the two differ. A grey image is used as it is in both.
        shave: pixels to crop at each border.
        model: the pristine model: a file of `fastsr niqe-fit`, a .mat file of the authors' code, or a model returned by
            `fastsr.metrics.niqe_model.load`; None for LIVE's. Scores from different models cannot be compared.
        device: where to compute; None for the device of the image.
        dtype: "float64", or "float32" for the features, which changes the score by less than 0.01.

    Returns:
        A float; for lists and batches a list with one float per image.

    Raises:
        InputError: an image has fewer than two blocks that are not flat, or an option is unknown.
        InputError, InputTypeError, MissingFileError, OutputError: as for `fastsr.metrics.niqe_model.load`.
        DeviceError: the device does not exist.
    """
    to_plane, precision = _resolve_options(channel, dtype)
    check_shave(shave)
    where = None if device is None else resolve_device(device)
    images, single = read_pixels(img, "img")
    images = [_check_size(crop_border(colours, shave)) for colours in images]
    pristine = load(model)
    values = []
    for colours in images:
        plane = to_plane(levels8(colours if where is None else colours.to(where)))[0]
        values.append(pristine.distance(measure(plane.to(precision)).features))
    return values[0] if single else values


def _check_size(colours: Tensor) -> Tensor:
    """Return colours (C, H, W) if they have enough blocks."""
    if count_blocks(*colours.shape[-2:]) < LEAST_BLOCKS:
        raise InputError(
            f"NIQE needs at least {LEAST_BLOCKS} blocks of {BLOCK}x{BLOCK} pixels after shave; there are "
            f"{size_of(colours)} pixels"
        )
    return colours


def column(model: PristineModel, channel: str = "grey") -> str:
    """Return the name of a score: "NIQE" with LIVE's model on grey; other names state the model or the channel."""
    luma = " Y" if channel == "y" else ""
    return f"NIQE{luma}" if model.name == LIVE else f"NIQE{luma} ({model.name})"


def _resolve_options(channel: Any, dtype: Any) -> tuple[Any, torch.dtype]:
    """Return the function from 8-bit colours to the plane, and the dtype of the features."""
    plane = PLANES[choice("channel", channel, PLANES)]
    resolved = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if resolved not in tuple(DTYPES.values()):
        raise input_error("dtype", dtype, "is not supported", f"use {' or '.join(map(repr, DTYPES))}")
    return plane, resolved
