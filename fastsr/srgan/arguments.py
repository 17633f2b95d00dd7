"""Checks of the arguments of `fastsr.srgan`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import enlargement, flag, input_error, whole_number
from ..consistency import COPIES
from ..errors import InputError
from ..images.tiling import LEAST_TILE
from ..imresize import LARGEST_SIDE, scaled_size
from ..pretrained import default_weights
from ..runtime.device import resolve_device, resolve_dtype
from ..runtime.memory import require_memory
from .checkpoints import Checkpoint, load
from .options import SRGANOptions


@dataclass(frozen=True)
class Options:
    """The checked arguments; see `fastsr.srgan`."""

    factor: float
    checkpoint: Checkpoint
    ensemble: bool
    tile: int | None
    device: torch.device
    dtype: torch.dtype
    consistency: bool


def check_options(given: SRGANOptions) -> Options:
    """Return the checked arguments of `fastsr.srgan`, or raise what it raises; loads the weights, needs no image."""
    tile = None if given.tile is None else _check_tile(given.tile)
    consistency = flag("consistency", given.consistency)
    device = resolve_device(given.device)
    dtype = resolve_dtype(given.dtype, device)
    factor = enlargement(given.factor, "a number above 1, such as 4")
    checkpoint = load(default_weights("srgan", factor) if given.weights is None else given.weights)
    scale = checkpoint.network.scale
    if factor > scale:
        raise input_error(
            "factor",
            given.factor,
            f"is more than {checkpoint.name} can do",
            f"give at most {scale}, or other weights: these are of {checkpoint}",
        )
    return Options(factor, checkpoint, bool(given.ensemble), tile, device, dtype, consistency)


def _check_tile(tile: Any) -> int:
    right = f"a whole number of at least {LEAST_TILE}, in pixels of the image"
    side = whole_number("tile", tile, right)
    if side < LEAST_TILE:
        raise input_error("tile", tile, "is too small", f"give {right}")
    return side


def target_size(pixels: Tensor, options: Options, name: str = "img") -> tuple[int, int]:
    """Return the (height, width) of pixels (N, C, H, W) upscaled, if the network and the memory allow it.

    Raises:
        InputError: the image is too small for the network, or the result too large for any file.
        NotEnoughMemoryError: the result does not fit into memory.
    """
    height, width = pixels.shape[-2:]
    network = options.checkpoint.network
    if min(height, width) < network.least_side:
        raise InputError(
            f"{name} is {width}x{height} pixels; {options.checkpoint.name} needs at least {network.least_side} on each "
            "side"
        )
    if max(height, width) * network.scale > LARGEST_SIDE:
        raise InputError(
            f"{name} is {width}x{height} pixels; upscaled {network.scale} times its sides are more than {LARGEST_SIDE}"
        )
    numbers = max(pixels.shape[1], network.channels) * height * width * network.scale**2
    copies = 1 + COPIES if options.consistency else 3 if options.ensemble else 2
    require_memory(copies * 4 * numbers, pixels.device, f"upscaling {name} {network.scale} times")
    return scaled_size((height, width), (options.factor, options.factor))
