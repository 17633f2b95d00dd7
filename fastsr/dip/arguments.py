"""Checks of the arguments of `fastsr.dip`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import choice, enlargement, flag, input_error, number, spell, whole_number
from ..errors import InputError, InputTypeError
from ..imresize import KERNELS, LARGEST_SIDE, scaled_size
from ..operators import Operator
from ..runtime.device import resolve_device, resolve_dtype, resolve_seed
from .options import DipOptions
from .recipes import TASKS, Recipe, choose

SMALLEST_SIDE = 4
FILLING_IN = ("inpaint", "restore")
"""The tasks that need a mask."""
DEFAULT_FACTOR = 4.0
"""The factor of task "upscale"."""
DEFAULT_KERNEL = "lanczos2"
"""The kernel of the paper; bicubic differs little from it."""
LEAST_SIGMA, GREATEST_SIGMA = 0.5, 255.0
"""In 8-bit levels. Less than half a level is no noise, and often a mistake for 25 / 255."""


@dataclass(frozen=True)
class Options:
    """The checked arguments; see `fastsr.dip`."""

    task: str
    factor: float
    sigma: float | None
    kernel: str
    operator: Callable[[Tensor], Tensor] | None
    preset: str | Recipe
    steps: int | None
    early_stop: bool
    seed: int
    device: torch.device
    dtype: torch.dtype
    consistency: bool

    @property
    def needs_mask(self) -> bool:
        """Whether the task fills in the pixels that a mask marks."""
        return self.task in FILLING_IN


def check_options(given: DipOptions) -> Options:
    """Return the checked arguments of `fastsr.dip`, or raise what it raises; needs no image."""
    task, operator = choice("task", given.task, TASKS), given.operator
    if task in FILLING_IN and given.mask is None:
        raise input_error(
            "mask", None, f"is missing, but {spell('task', task)} needs one", "give an image, white where to fill in"
        )
    if operator is not None and not callable(operator):
        raise input_error(
            "operator", operator, "is not callable", "give a function of a tensor (1, C, H, W)", kind=InputTypeError
        )
    if given.kernel is not None and operator is not None:
        raise input_error(
            "kernel", given.kernel, "is the filter of the downscale, which operator replaces", "give one of the two"
        )
    upscales = task == "upscale" and operator is None
    factor = given.factor
    if factor is None:
        factor = DEFAULT_FACTOR if upscales else 1.0
    factor = check_factor(factor, upscales)
    sigma = _check_sigma(given.sigma, task)
    recipe = choose(task, given.preset, factor=factor, sigma=sigma)
    device = resolve_device(given.device)
    early_stop = given.early_stop
    return Options(
        task=task,
        factor=factor,
        sigma=sigma,
        kernel=DEFAULT_KERNEL if given.kernel is None else choice("kernel", given.kernel, KERNELS),
        operator=operator,
        preset=given.preset,
        steps=None if given.steps is None else check_steps(given.steps),
        early_stop=task == "denoise" if early_stop is None else flag("early_stop", early_stop),
        seed=resolve_seed(given.seed),
        device=device,
        dtype=resolve_dtype(given.dtype, device),
        consistency=_check_consistency(given.consistency, recipe, task, operator),
    )


def check_factor(factor: Any, upscales: bool = True) -> float:
    """Return `factor` as a float if it is above 1; unless the task `upscales`, 1 is allowed too."""
    right = "a finite number above 1, such as 4" if upscales else "1, or a finite number above 1"
    if not upscales and number("factor", factor, right) == 1:
        return 1.0
    return enlargement(factor, right)


def check_steps(steps: Any) -> int:
    """Return `steps` if it is a number of steps."""
    right = "a whole number of at least 1"
    count = whole_number("steps", steps, right)
    if count < 1:
        raise input_error("steps", steps, "is too few", f"give {right}")
    return count


def _check_sigma(sigma: Any, task: str) -> float | None:
    if sigma is None:
        return None
    if task != "denoise":
        raise input_error("sigma", sigma, f"is for {spell('task', 'denoise')}, not for {spell('task', task)}")
    value = number("sigma", sigma, "a number")
    if not LEAST_SIGMA <= value <= GREATEST_SIGMA:
        raise input_error(
            "sigma",
            sigma,
            "is out of range",
            "give the standard deviation of the noise in 8-bit levels, "
            f"from {LEAST_SIGMA:g} to {GREATEST_SIGMA:g}, such as 25",
        )
    return value


def _check_consistency(
    consistency: bool | None, recipe: Recipe, task: str, operator: Callable[[Tensor], Tensor] | None
) -> bool:
    projects = operator is None or isinstance(operator, Operator)
    if consistency is None:
        return (recipe.consistent or task in FILLING_IN) and projects and task != "denoise"
    consistency = flag("consistency", consistency)
    if consistency and task == "denoise":
        raise input_error("consistency", True, f"would bring the noise back with {spell('task', task)}", "leave it out")
    if consistency and not projects:
        raise input_error(
            "consistency", True, "needs an operator with a method project(x, y)", "this operator has none"
        )
    return consistency


def target_size(pixels: Tensor, factor: float, name: str = "img") -> tuple[int, int]:
    """Return the (height, width) of pixels (N, C, H, W) upscaled by `factor`, if a network can be fitted to that."""
    height, width = pixels.shape[-2:]
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"{name} is {width}x{height} pixels; Deep Image Prior needs at least {SMALLEST_SIDE} on each side"
        )
    if max(height, width) * factor > LARGEST_SIDE:
        raise input_error(
            "factor",
            factor,
            f"upscales {name}, {width}x{height} pixels, to sides of more than {LARGEST_SIDE}",
            "give a smaller factor",
        )
    return scaled_size((height, width), (factor, factor))
