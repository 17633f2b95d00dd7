"""The tasks of Deep Image Prior: each is one least-squares problem, through an operator of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError, InputTypeError
from ..images import read
from ..imresize import KERNELS
from ..operators import Compose, Downscale, Identity, Mask, Operator
from .arguments import Options, target_size
from .early_stopping import NoiseLevel, RunningVariance, Stopping
from .recipes import Recipe, choose

FILLED_ABOVE = 0.1
"""Of white: the soft edge of a drawn mask belongs to what is drawn, the noise of a JPEG's black does not."""


def read_known(mask: Any, size: tuple[int, int], name: str = "mask", of: str = "img", count: int = 1) -> Tensor:
    """Return (1 or N, 1, H, W) float32, 0 where `mask` is white, which is what is to be filled in, and 1 elsewhere.

    Args:
        mask: a grey image of any kind that `images.read` takes, or a tensor (H, W); black is what is known, and
            more than a tenth of white is filled in. Booleans are True where a pixel is filled in.
        size: (H, W) of the image that it belongs to.
        name: what errors call the mask.
        of: what errors call the picture.
        count: N, how many images it may be a batch for.

    Raises:
        InputError, InputTypeError: it is no image, has colours or transparency or another size, or marks no
            pixel, or all of them.
    """
    if isinstance(mask, Tensor) and mask.ndim == 2:
        mask = mask[None]
    image = read(mask, name)
    pixels = image.pixels
    if len(pixels) not in (1, count):
        raise InputError(f"{name} is a batch of {len(pixels)} and {of} has {count} images; give one mask, or {count}")
    transparent = image.alpha is not None and bool((image.alpha < 1).any())
    if transparent or bool((pixels != pixels[:, :1]).any()):
        kind = "transparency" if transparent else "colours"
        raise InputError(f"{name} has {kind}; a mask is grey: white where pixels are filled in, black elsewhere")
    if pixels.shape[-2:] != size:
        found, wanted = (f"{width}x{height}" for height, width in (pixels.shape[-2:], size))
        raise InputError(f"{name} is {found} pixels and {of} is {wanted}; a mask has the size of its image")
    known = (pixels[:, :1] <= FILLED_ABOVE).float()
    of_each = known.flatten(1)
    if of_each.all(1).any():
        raise InputError(f"{name} is black everywhere, so that nothing is filled in; white marks what is")
    if not of_each.any(1).all():
        raise InputError(f"{name} is white everywhere, so that no pixel is known; black marks what is")
    return known


def reaches(known: Tensor, distance: int) -> bool:
    """Return whether every pixel has one that is `known`, (1, 1, H, W), within a square of `distance` pixels around."""
    return bool(F.max_pool2d(known, 2 * distance + 1, stride=1, padding=distance).all())


LEVELS = 255
TEXT_REACH = 12
"""Pixels from any pixel of a text to the nearest known one, at the most; a hole that is deeper is no text."""


@dataclass(frozen=True)
class Problem:
    """What is fitted to one image: the image x of which `operator` makes `observation`.

    Attributes:
        observation: (1, C, h, w), 0 where it is not known.
        operator: maps (1, C, H, W) to the shape of the observation.
        size: (H, W) of the result.
        recipe: how it is fitted.
        observed: the part of the observation that is known.
        start: (1, C, H, W), what stands for the result before the first step.
        consistent: whether the result is made to agree with the observation in the end.
    """

    observation: Tensor
    operator: Callable[[Tensor], Tensor]
    size: tuple[int, int]
    recipe: Recipe
    observed: float
    start: Tensor
    consistent: bool

    def finish(self, image: Tensor) -> Tensor:
        """Return the result for the image that the fit came to."""
        if self.consistent:
            assert isinstance(self.operator, Operator)
            image = self.operator.project(image, self.observation)
        return image.clamp(0, 1)


def build_problem(pixels: Tensor, known: Tensor | None, options: Options) -> Problem:
    """Return the problem of one picture.

    Args:
        pixels: (1, C, h, w) in [0, 1], anywhere.
        known: (1, 1, h, w), 1 where `pixels` are known; None for everywhere.
        options: of the call.
    """
    observation = pixels.detach().clone().to(options.device)
    small, size = (pixels.shape[-2], pixels.shape[-1]), target_size(pixels, options.factor)
    operator = options.operator
    if operator is None:
        operator = Identity() if size == small else Downscale(size, small, kernel=KERNELS[options.kernel])
    if known is not None:
        known = known.to(options.device)
        observation = observation * known
        operator = _masked(operator, known)
    return Problem(
        observation,
        operator,
        size,
        recipe_for(pixels.shape[1], known, options),
        observed=1.0 if known is None else known.mean().item(),
        start=F.interpolate(observation, size, mode="bicubic"),
        consistent=options.consistency,
    )


def recipe_for(channels: int, known: Tensor | None, options: Options) -> Recipe:
    """Return the recipe for an image of 1 or 3 `channels`, of which the pixels `known` are given."""
    wide = known is not None and not reaches(known, TEXT_REACH)
    recipe = choose(options.task, options.preset, factor=options.factor, sigma=options.sigma, wide=wide)
    if options.steps is not None:
        recipe = replace(recipe, steps=options.steps)
    return replace(recipe, network=replace(recipe.network, output_channels=channels))


def stopping_for(recipe: Recipe, options: Options) -> Stopping | None:
    """Return what may end the fit: by the noise's strength where it is known, by the outputs' variance where not."""
    if not options.early_stop:
        return None
    return RunningVariance(recipe.patience) if options.sigma is None else NoiseLevel(options.sigma / LEVELS)


def _masked(operator: Callable[[Tensor], Tensor], known: Tensor) -> Callable[[Tensor], Tensor]:
    mask = Mask(known)
    if isinstance(operator, Identity):
        return mask
    return Compose(operator, mask) if isinstance(operator, Operator) else lambda x: mask(operator(x))


def check_operator(
    operator: Callable[[Tensor], Tensor], pixels: Tensor, size: tuple[int, int], device: torch.device
) -> None:
    """Try a user's operator on an image of `size` that is to become one like `pixels`, (1, C, h, w).

    Raises:
        InputError, InputTypeError: it raises something, or what it gives cannot be used.
    """
    image = torch.full((1, pixels.shape[1], *size), 0.5, device=device, requires_grad=True)
    try:
        found = operator(image)
    except Exception as error:
        raise InputError(
            f"operator raised {type(error).__name__} for an image {tuple(image.shape)}: {error}"
        ) from error
    if not isinstance(found, Tensor):
        raise InputTypeError(f"operator returned a {type(found).__name__}; it maps a tensor (1, C, H, W) to a tensor")
    if found.shape != pixels.shape:
        raise InputError(
            f"operator makes {tuple(found.shape)} of an image {tuple(image.shape)}, and img is "
            f"{tuple(pixels.shape)}; it maps the result, factor times as large as img, to img's shape"
        )
    if not found.requires_grad or not torch.isfinite(found).all():
        raise InputError(
            "operator cannot be differentiated, or its result is not finite; build it of torch's functions"
        )
