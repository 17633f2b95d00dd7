"""The arguments of `fastsr.dip` that are not about one picture, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import enlargement, flag, number, whole_number
from ..device import resolve_device, resolve_dtype, resolve_seed
from ..errors import InputError, InputTypeError
from ..imresize import KERNELS, LARGEST_SIDE, scaled_size
from ..operators import Operator
from .recipes import TASKS, Recipe, choose

SMALLEST_SIDE = 4
FILLING_IN = ("inpaint", "restore")
"""The tasks that need a mask."""
DEFAULT_FACTOR = 4.0
"""Of the task that enlarges."""
DEFAULT_KERNEL = "lanczos2"
"""The paper's; bicubic differs little from it."""
LEAST_SIGMA, GREATEST_SIGMA = 0.5, 255.0
"""In levels of 8 bits. Less than half of one is no noise, and often a mistake for 25 / 255."""


@dataclass(frozen=True)
class Options:
    """What the arguments mean; see `fastsr.dip`."""

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
        """Whether the task fills in what a mask marks."""
        return self.task in FILLING_IN


def check_options(
    factor: float | None = None,
    *,
    task: str = "upscale",
    masked: bool = False,
    sigma: float | None = None,
    kernel: str | None = None,
    operator: Callable[[Tensor], Tensor] | None = None,
    preset: str | Recipe = "fast",
    steps: int | None = None,
    early_stop: bool | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    consistency: bool | None = None,
) -> Options:
    """Return what the arguments of `dip` mean, or raise what it raises; needs no picture, only whether a mask came."""
    if task not in TASKS:
        raise InputError(f"task={task!r} is unknown; choose one of {', '.join(map(repr, TASKS))}")
    if task in FILLING_IN and not masked:
        raise InputError(f"mask is missing: task={task!r} fills in what a mask marks white")
    if operator is not None and not callable(operator):
        raise InputTypeError(f"operator={operator!r} cannot be called; give a function of a tensor (1, C, H, W)")
    if kernel is not None and operator is not None:
        raise InputError(f"kernel={kernel!r} is for the downscale, in whose place operator is; give one of the two")
    enlarges = task == "upscale" and operator is None
    if factor is None:
        factor = DEFAULT_FACTOR if enlarges else 1.0
    factor = check_factor(factor, enlarges)
    sigma = _check_sigma(sigma, task)
    recipe = choose(task, preset, factor=factor, sigma=sigma)
    resolved = resolve_device(device)
    return Options(
        task=task,
        factor=factor,
        sigma=sigma,
        kernel=DEFAULT_KERNEL if kernel is None else check_kernel(kernel),
        operator=operator,
        preset=preset,
        steps=None if steps is None else check_steps(steps),
        early_stop=task == "denoise" if early_stop is None else flag("early_stop", early_stop, "True, False or None"),
        seed=resolve_seed(seed),
        device=resolved,
        dtype=resolve_dtype(dtype, resolved),
        consistency=_check_consistency(consistency, recipe, task, operator),
    )


def check_factor(factor: Any, enlarges: bool = True) -> float:
    """Return `factor` as a float when a picture can be enlarged by it, or, where not `enlarges`, left as it is."""
    right = "a finite number above 1, such as 4" if enlarges else "1, or a finite number above 1"
    if not enlarges and number("factor", factor, right) == 1:
        return 1.0
    return enlargement(factor, right)


def check_kernel(kernel: Any) -> str:
    """Return `kernel` when it is the name of a filter."""
    if kernel not in tuple(KERNELS):
        raise InputError(f"kernel={kernel!r} is unknown; choose one of {', '.join(KERNELS)}")
    return str(kernel)


def check_steps(steps: Any) -> int:
    """Return `steps` when it is a number of steps."""
    right = "a whole number of at least 1"
    count = whole_number("steps", steps, right)
    if count < 1:
        raise InputError(f"steps={steps!r} is too few; give {right}")
    return count


def _check_sigma(sigma: Any, task: str) -> float | None:
    if sigma is None:
        return None
    if task != "denoise":
        raise InputError(f"sigma={sigma!r} belongs to task='denoise', not to task={task!r}")
    value = number("sigma", sigma, "a number, or None where it is unknown")
    if not LEAST_SIGMA <= value <= GREATEST_SIGMA:
        raise InputError(
            f"sigma={sigma!r} is out of range; give the noise's standard deviation in levels of 8 bits, from "
            f"{LEAST_SIGMA:g} to {GREATEST_SIGMA:g}, such as 25"
        )
    return value


def _check_consistency(
    consistency: bool | None, recipe: Recipe, task: str, operator: Callable[[Tensor], Tensor] | None
) -> bool:
    if consistency is not None:
        consistency = flag("consistency", consistency, "True, False or None")
    projects = operator is None or isinstance(operator, Operator)
    if consistency is None:
        return (recipe.consistent or task in FILLING_IN) and projects and task != "denoise"
    if consistency and task == "denoise":
        raise InputError("consistency=True would put the noise back in task='denoise'; leave it out")
    if consistency and not projects:
        raise InputError("consistency=True needs an operator with a method project(x, y); this one has none")
    return consistency


def target_size(pixels: Tensor, factor: float, name: str = "img") -> tuple[int, int]:
    """Return the (height, width) to which `factor` enlarges (N, C, H, W), when a network can be fitted to that."""
    height, width = pixels.shape[-2:]
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"{name} is {width}x{height} pixels; Deep Image Prior needs at least {SMALLEST_SIDE} on each side"
        )
    if max(height, width) * factor > LARGEST_SIDE:
        raise InputError(f"factor={factor:g} enlarges {name}, {width}x{height} pixels, beyond {LARGEST_SIDE} a side")
    return scaled_size((height, width), (factor, factor))
