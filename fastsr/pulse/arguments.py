"""The arguments of `fastsr.pulse`, checked before the work."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import choice, enlargement, flag, number, whole_number
from ..device import resolve_device, resolve_dtype, resolve_seed
from ..errors import InputError
from ..pretrained import default_weights
from .checkpoint import Checkpoint
from .formats import load
from .generator import Generator
from .learning_rates import SCHEDULES
from .losses import LossWeights, parse
from .search import Settings
from .spherical import OPTIMIZERS
from .starts import NOISES

LOSS = "100*L2+0.05*GEOCROSS"
"""That of the paper."""
MOST_STEPS, MOST_RESTARTS = 100_000, 10_000
USUAL_FACTOR = 8
"""That of the smaller picture an error advises."""


@dataclass(frozen=True)
class Options:
    """What the arguments mean; see `fastsr.pulse`.

    Attributes:
        checkpoint: the generator.
        factor: the enlargement asked for; None for that of each picture to the generator's size.
        settings: of the search.
        seed: of the first start.
        restarts: starts of each picture.
        tile_latent: whether there is one latent row for all layers.
        noise: a name of `fastsr.pulse.starts.NOISES`.
        trainable_noise: how many noise maps the search may change, where there are as many.
        consistency: whether the result is made to agree.
        batch: pictures at once, at most; None for what fits.
        device: of the search.
        dtype: of the generator's convolutions.
    """

    checkpoint: Checkpoint
    factor: float | None
    settings: Settings
    seed: int
    restarts: int
    tile_latent: bool
    noise: str
    trainable_noise: int
    consistency: bool
    batch: int | None
    device: torch.device
    dtype: torch.dtype


def check_options(
    factor: float | None = None,
    *,
    weights: str | os.PathLike[str] | Checkpoint | Generator | None = None,
    steps: int = 100,
    eps: float = 2e-3,
    seed: int = 0,
    restarts: int = 1,
    optimizer: str = "adam",
    learning_rate: float = 0.4,
    schedule: str = "linear1cycledrop",
    loss: str | LossWeights = LOSS,
    tile_latent: bool = False,
    noise: str = "trainable",
    trainable_noise: int = 5,
    consistency: bool = False,
    batch: int | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> Options:
    """Return what the arguments of `pulse` mean, or raise what it raises; loads the weights, and needs no picture."""
    settings = Settings(
        _count("steps", steps, MOST_STEPS),
        _positive("eps", eps, "the mean squared error of colours in [0, 1] to reach, such as 0.002"),
        choice("optimizer", optimizer, OPTIMIZERS),
        _positive("learning_rate", learning_rate, "a number above 0, such as 0.4"),
        choice("schedule", schedule, SCHEDULES),
        parse(loss),
    )
    seed = resolve_seed(seed)
    restarts = _count("restarts", restarts, MOST_RESTARTS)
    resolve_seed(seed + restarts - 1)  # that of the last start
    choice("noise", noise, NOISES)
    right = "a whole number of at least 0"
    trainable_noise = whole_number("trainable_noise", trainable_noise, right)
    if trainable_noise < 0:
        raise InputError(f"trainable_noise={trainable_noise} is out of range; give {right}")
    if batch is not None:
        batch = _count("batch", batch)
    resolved = resolve_device(device)
    precision = resolve_dtype(dtype, resolved)
    enlarges = None if factor is None else enlargement(factor, "a number above 1, such as 8, or None")
    checkpoint = load(default_weights("pulse") if weights is None else weights)
    return Options(
        checkpoint,
        enlarges,
        settings,
        seed,
        restarts,
        flag("tile_latent", tile_latent),
        noise,
        trainable_noise,
        flag("consistency", consistency),
        batch,
        resolved,
        precision,
    )


def check_size(pixels: Tensor, options: Options, name: str = "img") -> None:
    """Check that the generator makes pictures whose downscale (N, C, h, w) can be.

    Raises:
        InputError: they are not square, not smaller than what the generator makes, or `factor` is another one.
    """
    height, width = pixels.shape[-2:]
    side = options.checkpoint.network.resolution
    what = f"{name} is {width}x{height} pixels"
    if height != width:
        raise InputError(
            f"{what}, and a face is searched for in a square; crop it to one, or let `fastsr pulse --align` find the "
            "face"
        )
    if height >= side:
        low = max(side // USUAL_FACTOR, 1)
        raise InputError(
            f"{what}, and {options.checkpoint.name} makes {side}x{side}; give a smaller one: of an aligned face "
            f"fastsr.resize(img, size=({low}, {low})) makes it, in photos `fastsr pulse --align` finds the faces; or "
            "give weights of a higher resolution"
        )
    if options.factor is not None and round(height * options.factor) != side:
        raise InputError(
            f"factor={options.factor:g} makes {round(width * options.factor)} of {width} pixels a side, but "
            f"{options.checkpoint.name} makes {side}; give factor={side / height:.15g}, or leave it out"
        )


def _count(name: str, value: Any, most: int | None = None) -> int:
    right = "a whole number of at least 1" if most is None else f"a whole number from 1 to {most}"
    count = whole_number(name, value, right)
    if count < 1 or (most is not None and count > most):
        raise InputError(f"{name}={value} is out of range; give {right}")
    return count


def _positive(name: str, value: Any, right: str) -> float:
    result = number(name, value, right)
    if not 0 < result < math.inf:
        raise InputError(f"{name}={value} is out of range; give {right}")
    return result
