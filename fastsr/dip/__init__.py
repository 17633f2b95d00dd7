"""Deep Image Prior (Ulyanov, Vedaldi, Lempitsky, CVPR 2018, arXiv 1711.10925): an untrained network as the prior."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..typing import same_kind_or_iterator

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..typing import DTypeName, ImageInput, ImagesInput, Kernel
    from .fit import State
    from .options import Preset, Task
    from .recipes import Recipe


@same_kind_or_iterator
def dip(
    img: ImagesInput,
    factor: float | None = None,
    *,
    task: Task = "upscale",
    mask: ImagesInput | Iterator[ImageInput | None] | None = None,
    sigma: float | None = None,
    kernel: Kernel | None = None,
    operator: Callable[[Tensor], Tensor] | None = None,
    preset: Preset | Recipe = "fast",
    steps: int | None = None,
    early_stop: bool | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    dtype: DTypeName | torch.dtype | None = None,
    consistency: bool | None = None,
    progress: bool = True,
    callback: Callable[[int, Tensor, State], None] | None = None,
) -> Any:
    """Upscale or restore an image by fitting an untrained network to it; needs no training data and no weights.

    The network's output x minimizes ||A x - img||^2. A is the downscale by `factor` (the identity at factor 1). With
    a mask, only known pixels count. Every task can therefore be combined with a factor and a mask. The result is the
    running average of the outputs.

    Args:
        img: a path, PIL image, NumPy array (H, W), (H, W, 3 or 4), or torch tensor (3, H, W), (N, 3, H, W) in
            [0, 1]; or a list of them. The images of a list or a batch are fitted one after the other, on a GPU several
            small ones at once. Each side has at least 4 pixels. Given an iterator of images, returns an iterator of
            results in the same order; at most one image is read ahead.
        factor: upscaling factor, need not be an integer; by default 4 for task "upscale", else 1.
        task: "upscale"; "denoise"; "inpaint" for holes, text and watermarks under a mask; "restore" for images of
            which only scattered pixels are known.
        mask: a grey image of the size of `img`, of any kind; a list of them for a list, an iterator for an iterator:
            white where a pixel is to be filled in, black where it is known. In a boolean mask True marks the pixels to
            fill in. In an iterator None stands for no mask.
        sigma: for task "denoise", the standard deviation of the noise in 8-bit levels, from 0.5 to 255; None if it is
            unknown.
        kernel: the filter of the downscale, if it is known: "lanczos2" (the paper's, and the default; bicubic differs
            little), "lanczos3" (what most programs call Lanczos), "bicubic", "linear" or "box".
        operator: A, in place of the downscale: a linear, differentiable function from the result, a tensor
            (1, C, H, W), to a tensor of the size of `img`.
        preset: "fast", "paper" for the recipe of the paper, or a `fastsr.dip.recipes.Recipe`.
        steps: maximum number of optimizer steps, in place of the preset's.
        early_stop: stop before the network reproduces the noise: when the error has come down to `sigma` or, if that
            is unknown, when the variance of the outputs rises again. By default on for task "denoise".
        seed: random seed. On one CPU with the same number of threads, the same seed gives the same bits.
        device: "cpu", "cuda" or "cuda:N"; by default CUDA if available.
        dtype: "float32" or "bfloat16" for the activations; by default bfloat16 if the device computes in it.
        consistency: project the result onto the images that agree with `img` under A and the mask, then clip it to
            [0, 1]. By default on for tasks "inpaint" and "restore", where it keeps the known pixels, and for task
            "upscale" with preset "fast", which has too few steps to agree by itself.
        progress: show a progress bar with step, PSNR of the fit and time left, on a terminal and in notebooks.
        callback: called after every step as ``callback(step, image, info)`` with the number of steps done, the result
            so far as a (1, C, H, W) float32 tensor that later steps overwrite, and a `State` (`loss`, `psnr`,
            `picture`).

    Returns:
        The image at ceil(H * factor) x ceil(W * factor), the size that `fastsr.resize` gives, of the kind and dtype of
        `img` (a path gives a PIL image, or a NumPy array where PIL has no mode for it: 16-bit colour). It has no
        gradient.

    Raises:
        InputError, InputTypeError: an argument that cannot be used, named in the message.
        DeviceError: the device is not available.
        NotEnoughMemoryError: the fit would not fit into memory.
        Interrupted: Ctrl-C; its `image` is the result so far, for an iterator that of the next image (those of a list
            or a batch are dropped).
    """
    from ..checks import check_callback
    from ..errors import Interrupted
    from ..images import unflatten_like
    from .arguments import check_options
    from .options import DipOptions
    from .runner import DipRunner

    options = check_options(
        DipOptions(
            factor=factor,
            task=task,
            mask=mask,
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
    )
    check_callback(callback)
    call = DipRunner(options, img, mask, callback, progress)
    if isinstance(img, Iterator):
        return call.results()
    count = call.check()
    try:
        return unflatten_like(img, call.results())
    except Interrupted:
        if count == 1:
            raise
        raise KeyboardInterrupt from None
