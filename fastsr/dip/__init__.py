"""Deep Image Prior (Ulyanov, Vedaldi, Lempitsky, CVPR 2018, arXiv 1711.10925): an untrained network as the prior."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from ..consistency import Downscale
from ..device import require_memory, resolve_device, resolve_dtype, resolve_seed
from ..errors import InputError, InputTypeError, Interrupted
from ..images import Picture, each
from ..resize import LARGEST_SIDE
from .fit import State, fit
from .memory import fit_memory
from .network import HourglassConfig
from .recipes import Recipe, super_resolution

SMALLEST_SIDE = 4
STEPS_BETWEEN_REPORTS = 10


def dip(
    img: Any,
    factor: float = 4,
    *,
    preset: str = "fast",
    steps: int | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    consistency: bool = False,
    progress: bool = True,
    callback: Callable[[int, Tensor, State], None] | None = None,
) -> Any:
    """Upscale a picture by fitting an untrained network to it; needs no training data and no weights.

    The network's output x minimises ||A x - img||^2, A being the Lanczos-2 downscale by `factor`. The result is
    the running average of the outputs.

    Args:
        img: a path, PIL image, NumPy array (H, W), (H, W, 3 or 4), or torch tensor (3, H, W), (N, 3, H, W) in
            [0, 1]; a list or a batch is worked through one picture after the other. Sides of at least 4 pixels.
        factor: how much larger the result is, more than 1; need not be an integer.
        preset: "fast", or "paper" for the recipe of the paper.
        steps: optimiser steps, instead of the preset's number.
        seed: names the random numbers; on one CPU with as many threads, the same seed gives the same result, to the
            last bit.
        device: "cpu", "cuda" or "cuda:N"; by default CUDA when present.
        dtype: "float32" or "bfloat16" for the activations; by default bfloat16 where the device computes in it.
        consistency: move the result to the nearest picture whose downscale is `img`, then clip to [0, 1].
        progress: show a bar with step, PSNR of the fit and time left, on a terminal and in notebooks.
        callback: called after every step as ``callback(step, image, info)``: steps done, the average so far as a
            (1, C, H, W) float32 tensor that later steps overwrite, and a `State` (`loss`, `psnr`).

    Returns:
        The picture at round(H * factor) x round(W * factor), of the kind and dtype that came in (a path gives a
        PIL image, or a NumPy array where PIL has no mode for it: 16-bit colour). No gradient flows through.

    Raises:
        InputError, InputTypeError: an argument that cannot be used, named in the message.
        DeviceError: a device that is not there.
        NotEnoughMemoryError: the fit would not fit into memory.
        Interrupted: Ctrl-C; its `image` is the picture reached so far (a list or a batch is dropped).
    """
    options = check_options(factor, preset, steps, seed, device, dtype)
    if callback is not None and not callable(callback):
        raise InputTypeError(f"callback={callback!r} cannot be called; give a function of step, image and info")
    single = not isinstance(img, (list, tuple))
    interrupted = False

    def check(picture: Picture, name: str) -> None:
        size = target_size(picture.pixels, options.factor, name)
        needed = fit_memory(network_for(picture.pixels), size, options.dtype)
        require_memory(needed, options.device, f"fitting {name} at {size[1]}x{size[0]} pixels")

    def fit_to(picture: Picture, name: str) -> Any:
        check(picture, name)
        return picture.map(upscale)

    def network_for(pixels: Tensor) -> HourglassConfig:
        return replace(options.recipe.network, output_channels=pixels.shape[1])

    def upscale(pixels: Tensor) -> Tensor:
        return torch.cat([upscale_one(picture, single and len(pixels) == 1) for picture in pixels.split(1)])

    def upscale_one(pixels: Tensor, alone: bool) -> Tensor:
        nonlocal interrupted
        observation = pixels.detach().clone().to(options.device)
        small, large = pixels.shape[-2:], target_size(pixels, options.factor)
        recipe = replace(options.recipe, network=network_for(pixels))
        operator = Downscale(large, (small[0], small[1]))
        image = F.interpolate(observation, large, mode="bicubic")
        with tqdm(total=recipe.steps, desc="dip", unit="step", disable=not (progress and _someone_looks())) as bar:
            try:
                for state in fit(observation, operator, large, recipe, seed=options.seed, dtype=options.dtype):
                    image = state.image
                    if not bar.disable and state.step % STEPS_BETWEEN_REPORTS == 0:  # it waits for the device
                        bar.set_postfix_str(f"PSNR of the fit {state.psnr:.2f} dB", refresh=False)
                    bar.update()
                    if callback is not None:
                        callback(state.step, image, state)
            except KeyboardInterrupt:
                if not alone:
                    raise
                interrupted = True
        if consistency:
            image = operator.project(image, observation)
        return image.clamp(0, 1).to(pixels.device)

    # A caller may have switched gradients off; without them there is nothing to fit by.
    with torch.inference_mode(False), torch.enable_grad():
        if not single:
            each(img, check)  # the last picture too, before the first is worked on
        result = each(img, fit_to)
    if interrupted:
        raise Interrupted(result)
    return result


class Options(NamedTuple):
    """The arguments of `dip` that are not about one picture, checked."""

    factor: float
    recipe: Recipe
    seed: int
    device: torch.device
    dtype: torch.dtype


def check_options(
    factor: float,
    preset: str,
    steps: int | None,
    seed: int,
    device: str | torch.device | None,
    dtype: str | torch.dtype | None,
) -> Options:
    """Return what the arguments of `dip` mean, or raise what it raises; needs no picture."""
    factor = check_factor(factor)
    recipe = super_resolution(preset, factor)
    if steps is not None:
        recipe = replace(recipe, steps=check_steps(steps))
    resolved = resolve_device(device)
    return Options(factor, recipe, resolve_seed(seed), resolved, resolve_dtype(dtype, resolved))


def check_factor(factor: Any) -> float:
    """Return `factor` as a float when a picture can be enlarged by it."""
    if isinstance(factor, bool) or not isinstance(factor, Real):
        raise InputTypeError(f"factor={factor!r} is a {type(factor).__name__}; give a number above 1, such as 4")
    try:
        value = float(factor)
    except OverflowError:
        value = math.inf
    if not 1 < value < math.inf:
        raise InputError(f"factor={factor!r} does not enlarge a picture; give a finite number above 1, such as 4")
    return value


def check_steps(steps: Any) -> int:
    """Return `steps` when it is a number of steps."""
    if isinstance(steps, bool) or not isinstance(steps, Integral):
        raise InputTypeError(f"steps={steps!r} is a {type(steps).__name__}; give a whole number of at least 1")
    if steps < 1:
        raise InputError(f"steps={steps!r} is too few; give a whole number of at least 1")
    return int(steps)


def target_size(pixels: Tensor, factor: float, name: str = "img") -> tuple[int, int]:
    """Return the (height, width) to which `factor` enlarges (N, C, H, W), when a network can be fitted to that."""
    height, width = pixels.shape[-2:]
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"{name} is {width}x{height} pixels; Deep Image Prior needs at least {SMALLEST_SIDE} on each side"
        )
    if max(height, width) * factor > LARGEST_SIDE:
        raise InputError(f"factor={factor:g} enlarges {name}, {width}x{height} pixels, beyond {LARGEST_SIDE} a side")
    return round(height * factor), round(width * factor)


def _someone_looks() -> bool:
    """Whether a bar would be seen: on a terminal, or in a notebook, whose kernel has none."""
    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
