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
from ..imresize import LARGEST_SIDE, scaled_size
from ..pretrained import default_weights
from ..tiling import LEAST_TILE
from .checkpoint import Checkpoint
from .formats import load


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
    checkpoint = load(default_weights("srgan", number) if weights is None else weights)
    scale = checkpoint.network.scale
    if number > scale:
        raise InputError(
            f"factor={number:g} is more than {checkpoint.name} can do; give at most {scale}, or other weights: these "
            f"are of {checkpoint}"
        )
    return Options(number, checkpoint, bool(ensemble), tile, resolved, precision, consistency)


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
    return scaled_size((height, width), (options.factor, options.factor))
