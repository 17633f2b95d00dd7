"""The tasks of Deep Image Prior: each is one least-squares problem, through an operator of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..consistency import Downscale
from ..errors import InputError, InputTypeError
from ..imresize import KERNELS
from ..masks import reaches
from ..operators import Compose, Identity, Mask, Operator
from .arguments import Options, target_size
from .recipes import Recipe, choose
from .stopping import NoiseLevel, RunningVariance, Stopping

LEVELS = 255
TEXT_REACH = 12
"""Pixels from any pixel of a text to the nearest known one, at the most; a hole that is deeper is no text."""


@dataclass(frozen=True)
class Problem:
    """What is fitted to one picture: the picture x of which `operator` makes `observation`.

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
        """Return the result for the picture that the fit came to."""
        if self.consistent:
            assert isinstance(self.operator, Operator)
            image = self.operator.project(image, self.observation)
        return image.clamp(0, 1)


def pose(pixels: Tensor, known: Tensor | None, options: Options) -> Problem:
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
    """Return the recipe for a picture of 1 or 3 `channels`, of which the pixels `known` are given."""
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
    """Try a user's operator on a picture of `size` that is to become one like `pixels`, (1, C, h, w).

    Raises:
        InputError, InputTypeError: it raises something, or what it gives cannot be used.
    """
    picture = torch.full((1, pixels.shape[1], *size), 0.5, device=device, requires_grad=True)
    try:
        found = operator(picture)
    except Exception as error:
        raise InputError(
            f"operator raised {type(error).__name__} for a picture {tuple(picture.shape)}: {error}"
        ) from error
    if not isinstance(found, Tensor):
        raise InputTypeError(f"operator returned a {type(found).__name__}; it maps a tensor (1, C, H, W) to a tensor")
    if found.shape != pixels.shape:
        raise InputError(
            f"operator makes {tuple(found.shape)} of a picture {tuple(picture.shape)}, and img is "
            f"{tuple(pixels.shape)}; it maps the result, factor times as large as img, to img's shape"
        )
    if not found.requires_grad or not torch.isfinite(found).all():
        raise InputError(
            "operator cannot be differentiated, or its result is not finite; build it of torch's functions"
        )
