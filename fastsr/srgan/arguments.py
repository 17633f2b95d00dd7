"""The arguments of `fastsr.srgan`, checked before the work."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import enlargement, flag, whole_number
from ..consistency import COPIES
from ..device import require_memory, resolve_device, resolve_dtype
from ..errors import InputError
from ..resize import LARGEST_SIDE
from ..tiling import LEAST_TILE
from .checkpoint import Checkpoint
from .formats import load

WEIGHTS, WEIGHTS_X2 = "srgan-x4", "srresnet-x2"
"""Those that come with fastsr and are taken where none are given; the second up to a factor of 2."""


@dataclass(frozen=True)
class Options:
    """What the arguments mean; see `fastsr.srgan`."""

    factor: float
    checkpoint: Checkpoint
    ensemble: bool
    tile: int | None
    device: torch.device
    dtype: torch.dtype
    consistency: bool


def check_options(
    factor: float = 4,
    *,
    weights: str | os.PathLike[str] | Checkpoint | None = None,
    ensemble: bool = False,
    tile: int | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    consistency: bool = False,
) -> Options:
    """Return what the arguments of `srgan` mean, or raise what it raises; loads the weights, and needs no picture."""
    if tile is not None:
        tile = _check_tile(tile)
    consistency = flag("consistency", consistency)
    resolved = resolve_device(device)
    precision = resolve_dtype(dtype, resolved)
    number = enlargement(factor, "a number above 1, such as 4")
    checkpoint = load(default_weights(number) if weights is None else weights)
    scale = checkpoint.network.scale
    if number > scale:
        raise InputError(
            f"factor={factor!r} is more than {checkpoint.name} can do: {checkpoint} enlarges {scale} times; give a "
            f"factor of up to {scale}, or other weights"
        )
    return Options(number, checkpoint, bool(ensemble), tile, resolved, precision, consistency)


def default_weights(factor: float) -> str:
    """Return the name of the weights that are taken where none are given."""
    return WEIGHTS_X2 if factor <= 2 else WEIGHTS


def _check_tile(tile: Any) -> int:
    right = f"a whole number of at least {LEAST_TILE}, in pixels of the picture, or None"
    side = whole_number("tile", tile, right)
    if side < LEAST_TILE:
        raise InputError(f"tile={tile} is too small; give {right}")
    return side


def target_size(pixels: Tensor, options: Options, name: str = "img") -> tuple[int, int]:
    """Return the (height, width) to which (N, C, H, W) is enlarged, when the network and the memory can do that.

    Raises:
        InputError: the picture is too small for the network, or the result too large for any file.
        NotEnoughMemoryError: the result does not fit into memory.
    """
    height, width = pixels.shape[-2:]
    network = options.checkpoint.network
    if min(height, width) < network.least_side:
        raise InputError(
            f"{name} is {width}x{height} pixels; {options.checkpoint.name} needs at least {network.least_side} a side"
        )
    if max(height, width) * network.scale > LARGEST_SIDE:
        raise InputError(f"{name} of {width}x{height} pixels enlarged {network.scale} times is beyond {LARGEST_SIDE}")
    numbers = max(pixels.shape[1], network.channels) * height * width * network.scale**2
    copies = 1 + COPIES if options.consistency else 3 if options.ensemble else 2
    require_memory(copies * 4 * numbers, pixels.device, f"enlarging {name} {network.scale} times")
    return round(height * options.factor), round(width * options.factor)
