"""Deep Image Prior (Ulyanov, Vedaldi, Lempitsky, CVPR 2018, arXiv 1711.10925): an untrained network as the prior."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..checks import check_callback
from ..errors import Interrupted
from ..images import arranged
from ..kinds import same_kind
from .arguments import check_options
from .call import Call
from .fit import State
from .recipes import Recipe


@same_kind
def dip(
    img: Any,
    factor: float | None = None,
    *,
    task: str = "upscale",
    mask: Any = None,
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
    progress: bool = True,
    callback: Callable[[int, Tensor, State], None] | None = None,
) -> Any:
    """Upscale or restore a picture by fitting an untrained network to it; needs no training data and no weights.

    The network's output x minimises ||A x - img||^2. A is the downscale by `factor` (the identity at
    factor 1), and where there is a mask only known pixels count, so that every task can be joined with both. The
    result is the running average of the outputs.

    Args:
        img: a path, PIL image, NumPy array (H, W), (H, W, 3 or 4), or torch tensor (3, H, W), (N, 3, H, W) in
            [0, 1]; a list or a batch is worked through one picture after the other, on a GPU several small ones at
            once. Sides of at least 4 pixels. An iterator of images gives an iterator of results in their order, which
            reads no more than it works on and one picture ahead.
        factor: how much larger the result is, need not be an integer; by default 4 for task "upscale", else 1.
        task: "upscale"; "denoise"; "inpaint" for holes, text and watermarks under a mask; "restore" where only
            scattered pixels are known.
        mask: a grey picture of the size of `img`, of any kind, or a list of them for a list, an iterator for an
            iterator: white where a pixel is to be filled in, black where it is known. Booleans are True where a
            pixel is filled in. None among those of an iterator is no mask.
        sigma: for task "denoise", the standard deviation of the noise in levels of 8 bits; None where it is unknown.
        kernel: of the downscale, where it is known by which filter the picture was made small: "lanczos2" (the
            paper's, and the default; bicubic differs little), "lanczos3" (what most programs call Lanczos),
            "bicubic", "linear" or "box".
        operator: A, where it is another: a linear, differentiable function of a tensor (1, C, H, W), the result,
            to one of the size of `img`.
        preset: "fast", "paper" for the recipe of the paper, or a `fastsr.dip.recipes.Recipe`.
        steps: optimiser steps at the most, instead of the preset's number.
        early_stop: end before the fit takes on noise: when its error has come down to `sigma`, or, where that is
            unknown, when the outputs vary more again. By default on for task "denoise".
        seed: names the random numbers; on one CPU with as many threads, the same seed gives the same result, to the
            last bit.
        device: "cpu", "cuda" or "cuda:N"; by default CUDA when present.
        dtype: "float32" or "bfloat16" for the activations; by default bfloat16 where the device computes in it.
        consistency: move the result to a picture near to it that agrees with `img`, through A and mask, then clip
            to [0, 1]. By default on for tasks "inpaint" and "restore", where it keeps the known pixels, and for task
            "upscale" with preset "fast", which has no time to come as near by itself.
        progress: show a bar with step, PSNR of the fit and time left, on a terminal and in notebooks.
        callback: called after every step as ``callback(step, image, info)``: steps done, the result so far as a
            (1, C, H, W) float32 tensor that later steps overwrite, and a `State` (`loss`, `psnr`, `picture`).

    Returns:
        The picture at ceil(H * factor) x ceil(W * factor), the size that `fastsr.resize` gives, of the kind and dtype
        that came in (a path gives a PIL image, or a NumPy array where PIL has no mode for it: 16-bit colour). No
        gradient flows through.

    Raises:
        InputError, InputTypeError: an argument that cannot be used, named in the message.
        DeviceError: a device that is not there.
        NotEnoughMemoryError: the fit would not fit into memory.
        Interrupted: Ctrl-C; its `image` is the picture reached so far, of an iterator the next one (a list or a batch
            is dropped).
    """
    options = check_options(
        factor,
        task=task,
        masked=mask is not None,
        sigma=sigma,
        kernel=kernel,
        operator=operator,
        preset=preset,
        steps=steps,
        early_stop=early_stop,
        seed=seed,
        device=device,
        dtype=dtype,
        consistency=consistency,
    )
    check_callback(callback)
    call = Call(options, img, mask, callback, progress)
    if isinstance(img, Iterator):
        return call.results()
    count = call.check()
    try:
        return arranged(img, call.results())
    except Interrupted:
        if count == 1:
            raise
        raise KeyboardInterrupt from None
