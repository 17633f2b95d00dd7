"""Deep Image Prior (Ulyanov, Vedaldi, Lempitsky, CVPR 2018, arXiv 1711.10925): an untrained network as the prior."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from ..consistency import Downscale
from ..device import require_memory, resolve_device, resolve_dtype, resolve_seed
from ..errors import InputError, InputTypeError, Interrupted
from ..images import transform
from .fit import State, fit
from .memory import fit_memory
from .recipes import super_resolution

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
        seed: names the random numbers; the same seed on the same device gives the same result.
        device: "cpu", "cuda" or "cuda:N"; by default CUDA when present.
        dtype: "float32" or "bfloat16" for the activations; by default bfloat16 where the device computes in it.
        consistency: move the result to the nearest picture whose downscale is `img`, then clip to [0, 1].
        progress: show a bar with step, PSNR of the fit and time left, when stderr is a terminal.
        callback: called after every step as ``callback(step, image, info)``: steps done, the average so far as a
            (1, C, H, W) float32 tensor that later steps overwrite, and a `State` (`loss`, `psnr`).

    Returns:
        The picture at round(H * factor) x round(W * factor), of the kind and dtype that came in (a path gives a
        PIL image).

    Raises:
        InputError, InputTypeError: an argument that cannot be used, named in the message.
        DeviceError: a device that is not there.
        NotEnoughMemoryError: the fit would not fit into memory.
        Interrupted: Ctrl-C; its `image` is the picture reached so far (a list or a batch is dropped).
    """
    factor = check_factor(factor)
    recipe = super_resolution(preset, factor)
    if steps is not None:
        recipe = replace(recipe, steps=check_steps(steps))
    seed = resolve_seed(seed)
    device = resolve_device(device)
    dtype = resolve_dtype(dtype, device)
    single = not isinstance(img, (list, tuple))
    interrupted = False

    def upscale(pixels: Tensor) -> Tensor:
        return torch.cat([upscale_one(picture, alone=single and len(pixels) == 1) for picture in pixels.split(1)])

    def upscale_one(observation: Tensor, alone: bool) -> Tensor:
        nonlocal interrupted
        small = check_sides(observation)
        large = (round(small[0] * factor), round(small[1] * factor))
        own = replace(recipe, network=replace(recipe.network, output_channels=observation.shape[1]))
        require_memory(fit_memory(own.network, large, dtype), device, f"fitting a {large[1]}x{large[0]} picture")
        home, observation = observation.device, observation.to(device)
        operator = Downscale(large, small)
        image = F.interpolate(observation, large, mode="bicubic")
        with tqdm(total=own.steps, desc="dip", unit="step", disable=None if progress else True) as bar:
            try:
                for state in fit(observation, operator, large, own, seed=seed, dtype=dtype):
                    image = state.image
                    if state.step % STEPS_BETWEEN_REPORTS == 0:
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
        return image.clamp(0, 1).to(home)

    result = transform(img, upscale)
    if interrupted:
        raise Interrupted(result)
    return result


def check_factor(factor: Any) -> float:
    """Return `factor` as a float when a picture can be enlarged by it."""
    if isinstance(factor, bool) or not isinstance(factor, (int, float)):
        raise InputTypeError(f"factor={factor!r} is a {type(factor).__name__}; give a number above 1, such as 4")
    if not (math.isfinite(factor) and factor > 1):
        raise InputError(f"factor={factor!r} does not enlarge a picture; give a finite number above 1, such as 4")
    return float(factor)


def check_steps(steps: Any) -> int:
    """Return `steps` when it is a number of steps."""
    if isinstance(steps, bool) or not isinstance(steps, int):
        raise InputTypeError(f"steps={steps!r} is a {type(steps).__name__}; give a whole number of at least 1")
    if steps < 1:
        raise InputError(f"steps={steps!r} is too few; give a whole number of at least 1")
    return steps


def check_sides(pixels: Tensor) -> tuple[int, int]:
    """Return (height, width) of (N, C, H, W) when the picture is large enough to fit a network to."""
    height, width = pixels.shape[-2:]
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"img is {width}x{height} pixels; Deep Image Prior needs at least {SMALLEST_SIDE} on each side"
        )
    return height, width
