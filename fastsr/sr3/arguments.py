"""Checks of the arguments of `fastsr.sr3`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import choice, enlargement, flag, input_error, spell, spell_call, whole_number
from ..errors import Doubt, InputError
from ..images import Picture
from ..imresize import LARGEST_SIDE, scaled_size
from ..pretrained import default_weights
from ..runtime.device import resolve_device, resolve_dtype, resolve_seed
from ..runtime.memory import require_memory
from .checkpoints import Checkpoint, load
from .options import SR3Options
from .sampling import SAMPLERS, SPACINGS, SamplerPlan, plan

TILE_OF_TRAINED = 2
"""Default side of a tile, over that of the training images: with larger tiles the network sees more context."""
MOST_STEPS, MOST_SAMPLES = 10_000, 1000
LARGEST_TILE = 512
"""Default side of a tile if the checkpoint does not state the side of its training images."""
SMALLEST_SHARE = 2
"""The training images may be up to this many times larger than the result."""


@dataclass(frozen=True)
class Options:
    """The checked arguments; see `fastsr.sr3`."""

    checkpoint: Checkpoint
    factor: float
    plan: SamplerPlan
    samples: int
    seed: int
    consistency: bool
    tile: int
    device: torch.device
    dtype: torch.dtype


def check_options(given: SR3Options) -> Options:
    """Return the checked arguments of `fastsr.sr3`, or raise what it raises; loads the weights, needs no image."""
    sampler = choice("sampler", given.sampler, SAMPLERS)
    why = f" with {spell('sampler', sampler)}"
    steps = _check_count("steps", given.steps, MOST_STEPS, SAMPLERS[sampler].least, why)
    spacing = choice("spacing", SAMPLERS[sampler].spacing if given.spacing is None else given.spacing, SPACINGS)
    count = 1 if given.samples is None else _check_count("samples", given.samples, MOST_SAMPLES)
    seed = resolve_seed(given.seed)
    resolve_seed(seed + count - 1)  # that of the last sample
    device = resolve_device(given.device)
    dtype = resolve_dtype(given.dtype, device)
    checkpoint = load(default_weights("sr3") if given.weights is None else given.weights)
    return Options(
        checkpoint,
        _factor(given.factor, checkpoint),
        plan(checkpoint.curve, checkpoint.prediction, sampler, spacing, steps),
        count,
        seed,
        flag("consistency", given.consistency),
        _tile(given.tile, checkpoint),
        device,
        dtype,
    )


def target_size(pixels: Tensor, options: Options, name: str = "img") -> tuple[int, int]:
    """Return the (height, width) of pixels (N, C, h, w) upscaled, if the network and the memory allow it.

    Raises:
        InputError: the image is too small for the images that the network was trained on, or the result too large for
            any file.
        NotEnoughMemoryError: the result does not fit into memory.
    """
    height, width = pixels.shape[-2:]
    size = scaled_size((height, width), (options.factor, options.factor))
    if max(size) > LARGEST_SIDE:
        raise InputError(
            f"{name} is {width}x{height} pixels; upscaled {options.factor:g} times its sides are more than "
            f"{LARGEST_SIDE}"
        )
    trained = options.checkpoint.size
    if trained is not None and min(size) * SMALLEST_SHARE < trained:
        needed = math.ceil(trained / SMALLEST_SHARE / options.factor)
        raise InputError(
            f"{name} is {width}x{height} pixels, which {options.checkpoint.name} would upscale to {size[1]}x{size[0]}, "
            f"but it was trained on {trained}x{trained}; give an image of at least {needed} pixels on each side, or "
            "weights of another resolution"
        )
    # Images of 3 channels: of each sample its condition, its result, and its projection; of the sample in progress the
    # noisy image, the estimate, and those that a step makes.
    images = 3 * len(pixels) * options.samples + 10
    require_memory(images * 3 * 4 * size[0] * size[1], options.device, f"upscaling {name} to {size[1]}x{size[0]}")
    return size


def _factor(factor: Any, checkpoint: Checkpoint) -> float:
    right = "a number above 1, such as 8"
    trained = checkpoint.factor
    if factor is None:
        if trained is None:
            raise input_error("factor", None, f"is missing, and {checkpoint.name} states none", f"give {right}")
        return float(trained)
    value = enlargement(factor, right)
    if trained is not None and value != trained:
        raise input_error(
            "factor",
            factor,
            f"is not the factor that {checkpoint.name} was trained for",
            f"give {spell('factor', trained)}, or leave it out, or give other weights",
        )
    return value


def _tile(tile: Any, checkpoint: Checkpoint) -> int:
    multiple = checkpoint.network.config.multiple
    if tile is None:
        return LARGEST_TILE if checkpoint.size is None else TILE_OF_TRAINED * checkpoint.size
    right = f"a multiple of {multiple}, in pixels of the result"
    side = whole_number("tile", tile, right)
    if side < multiple or side % multiple:
        raise input_error("tile", tile, "cannot be used", f"give {right}")
    return side


def _check_count(name: str, value: Any, most: int, least: int = 1, why: str = "") -> int:
    right = f"a whole number from {least} to {most}{why}"
    count = whole_number(name, value, right)
    if not least <= count <= most:
        raise input_error(name, value, f"is too {'few' if count < least else 'many'}", f"give {right}")
    return count


def domain_mismatches(image: Picture, name: str, options: Options) -> list[Doubt]:
    """Return why an image is outside the domain of the weights; nothing if it is inside, or their domain is unknown.

    The image is of another size than the training images, perhaps so large that it is processed in tiles, or it does
    not look like them.

    Raises:
        InputError, NotEnoughMemoryError: see `target_size`.
    """
    checkpoint, size = options.checkpoint, target_size(image.pixels, options, name)
    domain, trained, factor = checkpoint.domain, checkpoint.size, checkpoint.factor
    if domain is None:
        return []
    images = checkpoint.pictures or "images"
    for_photos = f"{spell_call('srgan')} upscales photos"
    texture = f"may show the texture of {images}"
    if trained is not None and factor is not None and size != (trained, trained):
        low = trained // factor
        height, width = image.pixels.shape[-2:]
        tiled = max(size) > TILE_OF_TRAINED * trained
        outcome = f"it will be processed in tiles and {texture}" if tiled else "the result may be worse"
        return [
            Doubt(
                name,
                f"{width}x{height} pixels, but {checkpoint.name} was trained on {images} of {low}x{low} pixels; "
                f"{outcome}. {spell_call('resize', size=(low, low))} makes that size, and {for_photos}",
            )
        ]
    if domain.outside(image.premultiplied):
        return [
            Doubt(
                name, f"not like the {images} that {checkpoint.name} was trained on; the result {texture}. {for_photos}"
            )
        ]
    return []
