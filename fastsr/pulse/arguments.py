"""Checks of the arguments of `fastsr.pulse`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import choice, enlargement, flag, input_error, number, spell, spell_call, whole_number
from ..domain import SIDE
from ..errors import Doubt, InputError
from ..images import Picture
from ..pretrained import default_weights
from ..runtime.device import resolve_device, resolve_dtype, resolve_seed
from ..stylegan.checkpoints import Checkpoint, load
from .losses import parse
from .options import PulseOptions
from .search import OPTIMIZERS, SCHEDULES, Settings
from .targets import NOISES

MOST_STEPS, MOST_RESTARTS = 100_000, 10_000
USUAL_FACTOR = 8
"""Factor of the smaller image that an error suggests."""
ALIGN = "`fastsr pulse --align`"


@dataclass(frozen=True)
class Options:
    """The checked arguments; see `fastsr.pulse`.

    Attributes:
        checkpoint: the generator.
        factor: the upscaling factor; None for the one from each image to the generator's resolution.
        settings: of the search.
        seed: of the first start.
        restarts: starts for each image.
        tile_latent: whether there is one latent row for all layers.
        noise: a name of `fastsr.pulse.targets.NOISES`.
        trainable_noise: how many noise maps the search may change, where there are as many.
        consistency: whether the result is projected to agree with the image.
        batch: maximum number of images at once; None for as many as fit.
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


def check_options(given: PulseOptions) -> Options:
    """Return the checked arguments of `fastsr.pulse`, or raise what it raises; loads the weights, needs no image."""
    settings = Settings(
        _count("steps", given.steps, MOST_STEPS),
        _positive("eps", given.eps, "the mean squared error to reach for colours in [0, 1], such as 0.002"),
        choice("optimizer", given.optimizer, OPTIMIZERS),
        _positive("learning_rate", given.learning_rate, "a number above 0, such as 0.4"),
        choice("schedule", given.schedule, SCHEDULES),
        parse(given.loss),
    )
    seed = resolve_seed(given.seed)
    restarts = _count("restarts", given.restarts, MOST_RESTARTS)
    resolve_seed(seed + restarts - 1)  # that of the last start
    noise = choice("noise", given.noise, NOISES)
    right = "a whole number of at least 0"
    trainable_noise = whole_number("trainable_noise", given.trainable_noise, right)
    if trainable_noise < 0:
        raise input_error("trainable_noise", trainable_noise, "is out of range", f"give {right}")
    batch = None if given.batch is None else _count("batch", given.batch)
    device = resolve_device(given.device)
    dtype = resolve_dtype(given.dtype, device)
    factor = None if given.factor is None else enlargement(given.factor, "a number above 1, such as 8")
    checkpoint = load(default_weights("pulse") if given.weights is None else given.weights)
    return Options(
        checkpoint,
        factor,
        settings,
        seed,
        restarts,
        flag("tile_latent", given.tile_latent),
        noise,
        trainable_noise,
        flag("consistency", given.consistency),
        batch,
        device,
        dtype,
    )


def check_size(pixels: Tensor, options: Options, name: str = "img") -> None:
    """Check that images of the generator can be downscaled to the size of pixels (N, C, h, w).

    Raises:
        InputError: the image is not square, is not smaller than those of the generator, or `factor` is another one.
    """
    height, width = pixels.shape[-2:]
    side = options.checkpoint.network.resolution
    size = f"{name} is {width}x{height} pixels"
    if height != width:
        raise InputError(
            f"{size}, but only square images can be searched for; crop it to a square, or let {ALIGN} find the face"
        )
    if height >= side:
        low = max(side // USUAL_FACTOR, 1)
        raise InputError(
            f"{size}, but must be smaller than the {side}x{side} of {options.checkpoint.name}; for an aligned face "
            f"{spell_call('resize', size=(low, low))} makes a smaller one, in photos {ALIGN} finds the faces; or give "
            "weights of a higher resolution"
        )
    if options.factor is not None and round(height * options.factor) != side:
        raise input_error(
            "factor",
            options.factor,
            f"upscales {width} pixels to {round(width * options.factor)}, but {options.checkpoint.name} makes {side}",
            f"give {spell('factor', float(f'{side / height:.15g}'))}, or leave it out",
        )


def _count(name: str, value: Any, most: int | None = None) -> int:
    right = "a whole number of at least 1" if most is None else f"a whole number from 1 to {most}"
    count = whole_number(name, value, right)
    if count < 1 or (most is not None and count > most):
        raise input_error(name, value, "is out of range", f"give {right}")
    return count


def _positive(name: str, value: Any, right: str) -> float:
    result = number(name, value, right)
    if not 0 < result < math.inf:
        raise input_error(name, value, "is out of range", f"give {right}")
    return result


def domain_mismatches(image: Picture, name: str, options: Options, *, aligned: bool = False) -> list[Doubt]:
    """Return why an image is outside the domain of the weights; nothing if it is inside, or their domain is unknown.

    Args:
        image: to search for.
        name: its name in messages.
        options: of the search.
        aligned: whether it is a face that was cut out of a photo.

    Raises:
        InputError: see `check_size`.
    """
    check_size(image.pixels, options, name)
    checkpoint, side = options.checkpoint, image.pixels.shape[-1]
    domain, resolution = checkpoint.domain, checkpoint.network.resolution
    if domain is None:
        return []
    images = f"the {checkpoint.pictures or 'images'} of {resolution}x{resolution} pixels"
    if side < SIDE:
        reason = f"{side}x{side} pixels, so few that nearly any face matches them; give at least {SIDE}x{SIDE}"
        return [Doubt(name, reason)]
    if domain.outside(image.premultiplied):
        remedy = "" if aligned else f". {ALIGN} finds the faces in photos, and {spell_call('srgan')} upscales photos"
        kind = f"a downscaled version of {images} that {checkpoint.name} was trained on"
        reason = f"not like {kind}; the result will still look like one of these{remedy}"
        return [Doubt(name, reason)]
    return []
