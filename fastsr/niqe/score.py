"""NIQE of pictures."""

from __future__ import annotations

import os
from typing import Any, Literal

import torch
from torch import Tensor

from ..checks import choice
from ..device import resolve_device
from ..errors import InputError
from ..planes import check_shave, grey8, levels8, luma8, pictures, shaved, size_of
from .features import BLOCK, count_blocks, measure
from .live import LIVE
from .model import LEAST_BLOCKS, PristineModel, load

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
    """Return NIQE (Mittal et al., 2013), how far a picture's statistics are from those of good photographs.

    Lower is better. It needs no reference. With channel="grey" it is what the authors' MATLAB code gives, see
    docs/niqe.md. Pictures are rounded to 8 bits before, as files of them would be, and so is their grey or luma;
    alpha is ignored. They are cut to whole blocks of 96x96 pixels.

    Args:
        img: a picture of any kind that `images.read` takes, or a list or batch of them.
        channel: "grey" for MATLAB's rgb2gray, "y" for BT.601 luma from 16 to 235, which much code for
            super-resolution has; the two differ. A grey picture is itself in both.
        shave: pixels to leave out at each border.
        model: what is compared with: a file of `fastsr niqe-fit` or a .mat, or what `niqe.model.load` returns of it;
            None for LIVE's. Results with different models cannot be compared.
        device: where to compute; None for where the picture is.
        dtype: "float64", or "float32" for the features, which gives the same to 0.01.

    Returns:
        A float; for lists and batches a list with one float a picture.

    Raises:
        InputError: a picture has fewer than two blocks that are not flat, or an option is unknown; and what
            `niqe.model.load` raises.
        DeviceError: there is no such device.
    """
    plane_of, precision = _options(channel, dtype)
    check_shave(shave)
    where = None if device is None else resolve_device(device)
    found, single = pictures(img, "img")
    kept = [_large_enough(shaved(colours, shave)) for colours in found]
    pristine = load(model)
    values = []
    for colours in kept:
        plane = plane_of(levels8(colours if where is None else colours.to(where)))[0]
        values.append(pristine.distance(measure(plane.to(precision)).features))
    return values[0] if single else values


def _large_enough(colours: Tensor) -> Tensor:
    if count_blocks(*colours.shape[-2:]) < LEAST_BLOCKS:
        raise InputError(
            f"NIQE needs at least {LEAST_BLOCKS} blocks of {BLOCK}x{BLOCK} pixels after shave; there are "
            f"{size_of(colours)} pixels"
        )
    return colours


def column(model: PristineModel, channel: str = "grey") -> str:
    """Return what to call a result: NIQE is that by LIVE's model, on grey; others say what they are."""
    luma = " Y" if channel == "y" else ""
    return f"NIQE{luma}" if model.name == LIVE else f"NIQE{luma} ({model.name})"


def _options(channel: Any, dtype: Any) -> tuple[Any, torch.dtype]:
    plane = PLANES[choice("channel", channel, PLANES)]
    resolved = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if resolved not in tuple(DTYPES.values()):
        raise InputError(f"dtype={dtype!r} is not supported; use {' or '.join(map(repr, DTYPES))}")
    return plane, resolved
