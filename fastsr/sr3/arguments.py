"""The arguments of `fastsr.sr3`, checked before the work."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import choice, enlargement, flag, whole_number
from ..device import require_memory, resolve_device, resolve_dtype, resolve_seed
from ..errors import InputError
from ..imresize import LARGEST_SIDE, scaled_size
from ..pretrained import default_weights
from .checkpoint import Checkpoint
from .formats import load
from .plans import Plan, plan
from .samplers import SAMPLERS
from .spacings import SPACINGS

TILE_OF_TRAINED = 2
"""The side of a tile, in those of the pictures that the network was trained on: more of a picture is seen at once."""
MOST_STEPS, MOST_SAMPLES = 10_000, 1000
LARGEST_TILE = 512
"""Where the file does not say what the network was trained on."""
SMALLEST_SHARE = 2
"""A result may have sides that are so many times smaller than those that the network was trained on."""


@dataclass(frozen=True)
class Options:
    """What the arguments mean; see `fastsr.sr3`."""

    checkpoint: Checkpoint
    factor: float
    plan: Plan
    samples: int
    seed: int
    consistency: bool
    tile: int
    device: torch.device
    dtype: torch.dtype


def check_options(
    factor: float | None = None,
    *,
    weights: str | os.PathLike[str] | Checkpoint | None = None,
    steps: int = 20,
    sampler: str = "dpm-solver++",
    spacing: str | None = None,
    samples: int | None = None,
    seed: int = 0,
    consistency: bool = True,
    tile: int | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> Options:
    """Return what the arguments of `sr3` mean, or raise what it raises; loads the weights, and needs no picture."""
    choice("sampler", sampler, SAMPLERS)
    least = SAMPLERS[sampler].least
    steps = _check_count("steps", steps, least, f" with sampler={sampler!r}")
    spacing = choice("spacing", SAMPLERS[sampler].spacing if spacing is None else spacing, SPACINGS)
    count = 1 if samples is None else _check_count("samples", samples, 1)
    for name, given, most in (("steps", steps, MOST_STEPS), ("samples", count, MOST_SAMPLES)):
        if given > most:
            raise InputError(f"{name}={given} are too many; give at most {most}")
    seed = resolve_seed(seed)
    resolve_seed(seed + count - 1)  # that of the last sample
    resolved = resolve_device(device)
    precision = resolve_dtype(dtype, resolved)
    checkpoint = load(default_weights("sr3") if weights is None else weights)
    return Options(
        checkpoint,
        _factor(factor, checkpoint),
        plan(checkpoint.curve, checkpoint.prediction, sampler, spacing, steps),
        count,
        seed,
        flag("consistency", consistency),
        _tile(tile, checkpoint),
        resolved,
        precision,
    )


def target_size(pixels: Tensor, options: Options, name: str = "img") -> tuple[int, int]:
    """Return the (height, width) to which (N, C, h, w) is enlarged, when the network and the memory can do that.

    Raises:
        InputError: the picture is too small for what the network was trained on, or the result too large for any file.
        NotEnoughMemoryError: the result does not fit into memory.
    """
    height, width = pixels.shape[-2:]
    size = scaled_size((height, width), (options.factor, options.factor))
    if max(size) > LARGEST_SIDE:
        raise InputError(
            f"{name} of {width}x{height} pixels enlarged {options.factor:g} times is beyond {LARGEST_SIDE}"
        )
    trained = options.checkpoint.size
    if trained is not None and min(size) * SMALLEST_SHARE < trained:
        needed = math.ceil(trained / SMALLEST_SHARE / options.factor)
        raise InputError(
            f"{name} is {width}x{height} pixels, of which {options.checkpoint.name} would make {size[1]}x{size[0]}; it "
            f"was trained to make {trained}x{trained}: give a picture of at least {needed} pixels a side, or weights "
            "of another resolution"
        )
    # Pictures of 3 channels: of each sample its condition, itself, and itself made to agree; of those at work the noisy
    # one, the one seen, and those that a step makes.
    pictures = 3 * len(pixels) * options.samples + 10
    require_memory(pictures * 3 * 4 * size[0] * size[1], options.device, f"enlarging {name} to {size[1]}x{size[0]}")
    return size


def _factor(factor: Any, checkpoint: Checkpoint) -> float:
    right = "a number above 1, such as 8"
    trained = checkpoint.factor
    if factor is None:
        if trained is None:
            raise InputError(f"factor is not given, and {checkpoint.name} does not say its own; give {right}")
        return float(trained)
    value = enlargement(factor, right)
    if trained is not None and value != trained:
        raise InputError(
            f"factor={value:g} is not the one that {checkpoint.name} was trained for; give factor={trained}, or leave "
            "it out, or give other weights"
        )
    return value


def _tile(tile: Any, checkpoint: Checkpoint) -> int:
    multiple = checkpoint.network.config.multiple
    if tile is None:
        return LARGEST_TILE if checkpoint.size is None else TILE_OF_TRAINED * checkpoint.size
    right = f"a multiple of {multiple}, in pixels of the result, or None"
    side = whole_number("tile", tile, right)
    if side < multiple or side % multiple:
        raise InputError(f"tile={tile} cannot be used; give {right}")
    return side


def _check_count(name: str, value: Any, least: int, why: str = "") -> int:
    right = f"a whole number of at least {least}{why}"
    count = whole_number(name, value, right)
    if count < least:
        raise InputError(f"{name}={value} is too few; give {right}")
    return count
