"""Consistency with the input: projections onto the images whose downscale is the input.

`project` is for images of any kind; methods use `agree` for tensors and `remade_to_agree` for a `Picture`. The
downscale operator, with its adjoint and pseudo-inverse, is `fastsr.operators.Downscale`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .errors import InputError
from .images import Picture, flatten, is_sequence, read, unflatten_like
from .images.picture import TOLERANCE
from .imresize import KERNELS, check_options, imresize
from .operators import Downscale
from .runtime.memory import require_memory

CLOSE = 0.25 / 255
"""The largest difference of a pixel between the downscaled result and the input: none after rounding to 8 bits."""
MAX_ITERATIONS = 50
"""Iterations at most; images with which no colours in [0, 1] agree take all of them."""
COPIES = 4
"""Images of the result's size in memory at a time, beside the one that is projected."""


def project(sr: Any, lr: Any, *, kernel: str = "bicubic") -> Any:
    """Return the image nearest to `sr` whose downscale is `lr`, with colours in [0, 1].

    The downscale is `fastsr.resize(result, size=(h, w), kernel=kernel)`, at any ratio. No gradient flows through.

    Args:
        sr: the high-resolution result of a method for `lr`, at least as large: an image of any kind that
            `images.read` takes, or a sequence or batch of them.
        lr: the low-resolution image or images, with the same channels.
        kernel: the kernel with which `lr` was, or is assumed to have been, downscaled: bicubic, lanczos2, lanczos3,
            linear or box.

    Returns:
        The image, of the kind and dtype of `sr`; a list for a sequence. Its downscale differs from `lr` by at most
        0.25 / 255 in every pixel, except where no colours in [0, 1] have such a downscale, as beside clipped pixels;
        there it is as near as 50 iterations come. Integers are then rounded. Alpha is that of `sr`; the colours of the
        downscale, which `resize` weights by alpha, are those of `lr` where it is visible.

    Raises:
        InputError: `sr` and `lr` differ in number or channels, `lr` is larger, or `kernel` is unknown.
        NotEnoughMemoryError: the work does not fit into memory.
    """
    large, small = flatten(sr, "sr"), flatten(lr, "lr")
    if is_sequence(sr) != is_sequence(lr) or len(large) != len(small):
        raise InputError(
            f"sr is {_describe_count(sr, large)} and lr is {_describe_count(lr, small)}; give them in pairs"
        )
    return unflatten_like(sr, (_project(*pair, kernel) for pair in zip(large, small, strict=True)))


def remade_to_agree(lr: Picture, premultiplied: Tensor, kernel: str = "bicubic") -> Any:
    """Return `lr.remade(premultiplied)` with colours projected to agree with `lr`, as `project` does.

    Args:
        lr: the low-resolution input, (N, C, h, w).
        premultiplied: the colours of the result multiplied by alpha, (N, C, H, W).
        kernel: as for `project`.

    Returns:
        The image, (N, C, H, W), of the kind of the input.
    """
    if lr.alpha is None:
        return lr.remade(agree(premultiplied, lr.pixels, kernel))
    alpha = imresize(lr.alpha, size=tuple(premultiplied.shape[-2:])).clamp(0, 1)
    return lr.remade(_agree_where_visible(premultiplied, alpha, lr, kernel), alpha)


@torch.no_grad()
def agree(sr: Tensor, lr: Tensor, kernel: str = "bicubic", *, ceiling: Tensor | None = None) -> Tensor:
    """Return the images nearest to `sr` whose downscale is `lr`, in [0, 1]; see `project`.

    Args:
        sr: (N, C, H, W), float32 or float64.
        lr: (N, C, h, w) of the same dtype and device, h <= H and w <= W.
        kernel: as for `project`.
        ceiling: (N, 1, H, W), the largest value of each pixel; None for 1.

    Returns:
        (N, C, H, W); each image of the batch is the same as alone.

    Raises:
        NotEnoughMemoryError: the work does not fit into memory.
    """
    size, small_size = ((x.shape[-2], x.shape[-1]) for x in (sr, lr))
    operator = Downscale(size, small_size, kernel=KERNELS[kernel], border="symmetric")
    needed = sr.nbytes + (COPIES - 1) * sr[:1].nbytes
    require_memory(needed, sr.device, f"projecting a result of {size[1]}x{size[0]} pixels to agree with its input")
    result = torch.empty_like(sr)
    for n in range(len(sr)):
        result[n] = _nearest(sr[n], lr[n], operator, None if ceiling is None else ceiling[n])
    return result


def _nearest(start: Tensor, y: Tensor, operator: Downscale, ceiling: Tensor | None) -> Tensor:
    """Return the image x, (C, H, W), nearest to `start`, from 0 to `ceiling`, with A x = y.

    The dual problem has no bounds: x is start + A^T m, clipped, and the gradient with respect to m is y - A x. It is
    solved by Nesterov's accelerated ascent with (A A^T)^-1 as the step size, so that the first iteration is
    `Downscale.project`. Without the momentum the iterations would be alternating projections, of which it takes several
    times as many.
    """

    def clip(x: Tensor) -> Tensor:
        return x.clamp_(0, 1) if ceiling is None else torch.minimum(x.clamp_(min=0), ceiling)

    residual = y - operator(start)
    previous = m = torch.zeros_like(y)
    t = 1.0
    for _ in range(MAX_ITERATIONS):
        current = m + operator.solve(residual)
        next_t = (1 + math.sqrt(1 + 4 * t**2)) / 2
        m = torch.lerp(previous, current, 1 + (t - 1) / next_t)
        previous, t = current, next_t
        x = clip(operator.adjoint(m).add_(start))
        residual = y - operator(x)
        if residual.abs().amax() <= CLOSE:
            break
    return x


def _agree_where_visible(premultiplied: Tensor, alpha: Tensor, lr: Picture, kernel: str) -> Tensor:
    """Return colours multiplied by `alpha`, (N, 1, H, W), whose downscale by `resize` has the colours of `lr`."""
    assert lr.alpha is not None
    weight = imresize(alpha, size=tuple(lr.alpha.shape[-2:]), kernel=kernel)
    visible = lr.alpha.to(alpha.device) > TOLERANCE
    target = torch.where(visible, lr.pixels.to(alpha.device) * weight, 0)
    return agree(premultiplied, target, kernel, ceiling=alpha)


def _project(sr: tuple[Any, str], lr: tuple[Any, str], kernel: str) -> Any:
    """Return the projection of one image or batch; `sr` and `lr` are images of any kind with their names in errors."""
    large, small = read(*sr), read(*lr)
    size = (small.pixels.shape[-2], small.pixels.shape[-1])
    check_options(None, size, kernel, "symmetric")
    first, second = f"{sr[1]} is {_describe(large)}", f"{lr[1]} is {_describe(small)}"
    if large.pixels.shape[:2] != small.pixels.shape[:2] or (large.alpha is None) != (small.alpha is None):
        raise InputError(f"{first} and {second}; give as many images with the same channels")
    if large.pixels.shape[-2] < size[0] or large.pixels.shape[-1] < size[1]:
        raise InputError(f"{first} and {second}; lr is the smaller one")
    if large.alpha is None:
        return large.like(agree(large.pixels, small.pixels.to(large.pixels.device), kernel))
    return large.remade(_agree_where_visible(large.premultiplied, large.alpha, small, kernel), large.alpha)


def _describe(image: Picture) -> str:
    """Return size and channels of an image for errors."""
    count, channels, height, width = image.pixels.shape
    colours = "grey" if channels == 1 else "RGB"
    alpha = "" if image.alpha is None else " and alpha"
    batch = "" if count == 1 else f"{count} times "
    return f"{batch}{width}x{height} pixels of {colours}{alpha}"


def _describe_count(img: Any, images: list[tuple[Any, str]]) -> str:
    return f"a list of {len(images)}" if is_sequence(img) else "one image"
