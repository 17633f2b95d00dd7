"""The tasks of Deep Image Prior: each is a least-squares problem ||A x - y||^2 with its own linear operator A."""

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
"""Mask values in [0, 1] above which a pixel is filled in: the soft edges of a drawn mask are, JPEG noise is not."""
LEVELS = 255
"""The user gives `sigma` in levels of 8 bits; the fit works in [0, 1]."""
TEXT_WIDTH = 12
"""A mask whose pixels all have an observed one within this many pixels may be text; a deeper hole is none."""


@dataclass(frozen=True)
class Problem:
    """What is fitted for one image: the image x with `operator(x)` = `observation`.

    Attributes:
        observation: (1, C, h, w), 0 where nothing was observed.
        operator: maps (1, C, H, W) to the shape of the observation.
        size: (H, W) of the result.
        recipe: the network and how it is fitted.
        observed_fraction: the fraction of the observation's pixels that were observed, in (0, 1].
        start: (1, C, H, W), the result before the first step.
        consistent: whether the result is projected onto the images that agree with the observation.
    """

    observation: Tensor
    operator: Callable[[Tensor], Tensor]
    size: tuple[int, int]
    recipe: Recipe
    observed_fraction: float
    start: Tensor
    consistent: bool

    def finish(self, image: Tensor) -> Tensor:
        """Return the result, (1, C, H, W) in [0, 1], of a fit that ended with `image`."""
        if self.consistent:
            assert isinstance(self.operator, Operator)
            image = self.operator.project(image, self.observation)
        return image.clamp(0, 1)


def build_problem(pixels: Tensor, observed: Tensor | None, options: Options) -> Problem:
    """Return the problem of one image.

    Args:
        pixels: (1, C, h, w) in [0, 1], on any device.
        observed: (1, 1, h, w), 1 where `pixels` were observed and 0 elsewhere; None for everywhere.
        options: of the call.
    """
    observation = pixels.detach().clone().to(options.device)
    input_size, size = (pixels.shape[-2], pixels.shape[-1]), target_size(pixels, options.factor)
    operator = options.operator
    if operator is None:
        identity = size == input_size
        operator = Identity() if identity else Downscale(size, input_size, kernel=KERNELS[options.kernel])
    if observed is not None:
        observed = observed.to(options.device)
        observation = observation * observed
        operator = _mask_output(operator, observed)
    return Problem(
        observation,
        operator,
        size,
        recipe_for(pixels.shape[1], observed, options),
        observed_fraction=1.0 if observed is None else observed.mean().item(),
        start=F.interpolate(observation, size, mode="bicubic"),
        consistent=options.consistency,
    )


def _mask_output(operator: Callable[[Tensor], Tensor], observed: Tensor) -> Callable[[Tensor], Tensor]:
    """Return `operator` followed by the mask of observed pixels."""
    mask = Mask(observed)
    if isinstance(operator, Identity):
        return mask
    return Compose(operator, mask) if isinstance(operator, Operator) else lambda x: mask(operator(x))


def recipe_for(channels: int, observed: Tensor | None, options: Options) -> Recipe:
    """Return the recipe for an image of 1 or 3 `channels` with the mask `observed`, (1 or N, 1, h, w), or None."""
    wide = observed is not None and not is_near_observed(observed, TEXT_WIDTH)
    recipe = choose(options.task, options.preset, factor=options.factor, sigma=options.sigma, wide=wide)
    if options.steps is not None:
        recipe = replace(recipe, steps=options.steps)
    return replace(recipe, network=replace(recipe.network, output_channels=channels))


def stopping_for(recipe: Recipe, options: Options) -> Stopping | None:
    """Return the early stopping rule: by the noise level where `sigma` is given, else by the outputs' variance."""
    if not options.early_stop:
        return None
    return RunningVariance(recipe.patience) if options.sigma is None else NoiseLevel(options.sigma / LEVELS)


def read_mask(mask: Any, size: tuple[int, int], name: str = "mask", of: str = "img", count: int = 1) -> Tensor:
    """Return the observed pixels, (1 or N, 1, H, W) float32: 0 where `mask` is white, to be filled in, 1 elsewhere.

    Args:
        mask: a grey image of any kind that `images.read` takes, or a tensor (H, W). A pixel brighter than a tenth of
            white is filled in, a darker one was observed. Booleans are True where a pixel is filled in.
        size: (H, W) of the image that the mask belongs to.
        name: what errors call the mask.
        of: what errors call the image.
        count: N, the number of images in the batch; the mask holds one or as many.

    Raises:
        InputError, InputTypeError: the mask is not an image, has colour or transparency or another size, or marks no
            pixel or every pixel.
    """
    if isinstance(mask, Tensor) and mask.ndim == 2:
        mask = mask[None]
    image = read(mask, name)
    pixels = image.pixels
    if len(pixels) not in (1, count):
        raise InputError(f"{name} is a batch of {len(pixels)} and {of} has {count} images; give one mask, or {count}")
    transparent = image.alpha is not None and bool((image.alpha < 1).any())
    if transparent or bool((pixels != pixels[:, :1]).any()):
        problem = "transparency" if transparent else "colours"
        raise InputError(f"{name} has {problem}; a mask is grey: white where pixels are filled in, black elsewhere")
    if pixels.shape[-2:] != size:
        found, wanted = (f"{width}x{height}" for height, width in (pixels.shape[-2:], size))
        raise InputError(f"{name} is {found} pixels and {of} is {wanted}; a mask has the size of its image")
    observed = (pixels[:, :1] <= FILLED_ABOVE).float()
    per_image = observed.flatten(1)
    if per_image.all(1).any():
        raise InputError(f"{name} is black everywhere, so there is nothing to fill in; mark those pixels white")
    if not per_image.any(1).all():
        raise InputError(f"{name} is white everywhere, so no pixel is left to fit; mark the known pixels black")
    return observed


def is_near_observed(observed: Tensor, distance: int) -> bool:
    """Whether every pixel of (N, 1, H, W) has an observed one within `distance` rows and columns."""
    return bool(F.max_pool2d(observed, 2 * distance + 1, stride=1, padding=distance).all())


def check_operator(
    operator: Callable[[Tensor], Tensor], pixels: Tensor, size: tuple[int, int], device: torch.device
) -> None:
    """Try a user's operator on an image of `size` (H, W), whose result should have the shape of `pixels`.

    Args:
        operator: maps (1, C, H, W) to (1, C, h, w).
        pixels: (1, C, h, w), the input image.
        size: (H, W) of the result.
        device: where the fit will run.

    Raises:
        InputError, InputTypeError: the operator raises an error, or its result cannot be used.
    """
    x = torch.full((1, pixels.shape[1], *size), 0.5, device=device, requires_grad=True)
    shape = tuple(x.shape)
    try:
        y = operator(x)
    except Exception as error:
        raise InputError(f"operator raised {type(error).__name__} for an image {shape}: {error}") from error
    if not isinstance(y, Tensor):
        raise InputTypeError(f"operator returned a {type(y).__name__}; it maps a tensor (1, C, H, W) to a tensor")
    if y.shape != pixels.shape:
        raise InputError(
            f"operator maps an image {shape} to {tuple(y.shape)}, and img is {tuple(pixels.shape)}; it maps the "
            "result, factor times as large as img, to img's shape"
        )
    if not y.requires_grad or not torch.isfinite(y).all():
        raise InputError(
            "operator is not differentiable, or its result is not finite; build it of differentiable torch functions"
        )
