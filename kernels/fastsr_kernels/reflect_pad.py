"""Reflection padding of pictures in NHWC memory, and its adjoint, the fold of the border.

The border repeats the pixels next to the edge in mirrored order, without the edge itself (numpy's "reflect"). The
adjoint adds each border pixel to the one it repeats. torch's own backward of this padding adds atomically on a GPU, so
that two runs differ; here both directions give the same bits every time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .arguments import check_pad, check_picture
from .backend import LIBRARY, choose
from .memory import empty_nhwc
from .reflect_pad_kernels import launch_fold, launch_pad

__all__ = ["reflect_fold", "reflect_pad"]


def reflect_pad(x: Tensor, pad: tuple[int, int], impl: str | None = None) -> Tensor:
    """Return `x` (N, C, H, W) with `pad` = (rows, columns) reflected on each side: (N, C, H + 2 rows, W + 2 columns).

    Differentiable any number of times, by backward passes; the gradient is `reflect_fold`.

    Args:
        x: float16, bfloat16, float32 or float64, of any strides.
        pad: pixels above and below, and to the left and the right; each less than the side it extends.
        impl: auto (None), triton or torch. float64 always runs in torch.

    Returns:
        A new tensor in NHWC memory (channels_last), of the dtype of `x`.

    Raises:
        TypeError: the dtype is none of those above.
        ValueError: `x` has not four dimensions, or a side is not larger than its pad.
    """
    check_picture("x", x, empty=True)
    check_pad(pad, (x.shape[-2], x.shape[-1]))
    result: Tensor = _Pad.apply(x, pad, choose(x, impl))
    return result


def reflect_fold(g: Tensor, pad: tuple[int, int], impl: str | None = None) -> Tensor:
    """Return the adjoint of `reflect_pad` at `g` (N, C, H + 2 rows, W + 2 columns): (N, C, H, W).

    Arguments, result and errors are like those of `reflect_pad`. Sums are made in float32 (float64 for float64) by the
    kernel, in the dtype of `g` by torch.
    """
    check_picture("g", g, empty=True)
    check_pad(pad, (g.shape[-2] - 2 * pad[0], g.shape[-1] - 2 * pad[1]))
    result: Tensor = _Fold.apply(g, pad, choose(g, impl))
    return result


class _Pad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, pad: tuple[int, int], impl: str) -> Tensor:
        ctx.arguments = pad, impl
        y: Tensor = torch.ops.fastsr.reflect_pad(x, *pad, impl)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return _Fold.apply(gradients[0], *ctx.arguments), None, None


class _Fold(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, pad: tuple[int, int], impl: str) -> Tensor:
        ctx.arguments = pad, impl
        x: Tensor = torch.ops.fastsr.reflect_fold(g, *pad, impl)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return _Pad.apply(gradients[0], *ctx.arguments), None, None


# The operators

LIBRARY.define("reflect_pad(Tensor x, SymInt rows, SymInt columns, str impl) -> Tensor")
LIBRARY.define("reflect_fold(Tensor g, SymInt rows, SymInt columns, str impl) -> Tensor")


@torch.library.register_fake("fastsr::reflect_pad", lib=LIBRARY)
def empty_padded(x: Tensor, rows: int, columns: int, impl: str = "") -> Tensor:
    """Return memory for `x` (N, C, H, W) with its border, in NHWC order."""
    return empty_nhwc(x, x.shape[0], x.shape[1], x.shape[2] + 2 * rows, x.shape[3] + 2 * columns)


@torch.library.register_fake("fastsr::reflect_fold", lib=LIBRARY)
def empty_folded(g: Tensor, rows: int, columns: int, impl: str = "") -> Tensor:
    """Return memory for `g` without its border, in NHWC order."""
    return empty_padded(g, -rows, -columns)


@torch.library.impl("fastsr::reflect_pad", "CompositeExplicitAutograd", lib=LIBRARY)
def _run_pad(x: Tensor, rows: int, columns: int, impl: str) -> Tensor:
    if impl == "triton":
        return launch_pad(x, empty_padded(x, rows, columns), rows, columns)
    return pad_in_torch(x, rows, columns)


@torch.library.impl("fastsr::reflect_fold", "CompositeExplicitAutograd", lib=LIBRARY)
def _run_fold(g: Tensor, rows: int, columns: int, impl: str) -> Tensor:
    if impl == "triton":
        return launch_fold(g, empty_folded(g, rows, columns), rows, columns)
    return fold_in_torch(g, rows, columns)


# The torch implementation: the interior is one copy, the border a few strips.


def pad_in_torch(x: Tensor, rows: int, columns: int) -> Tensor:
    """`reflect_pad` in torch, without a gradient."""
    y = empty_padded(x, rows, columns)
    interior(y, rows, columns).copy_(x)
    fill_border(y, rows, columns)
    return y


def interior(y: Tensor, rows: int, columns: int) -> Tensor:
    """Return the view of `y` without `rows` and `columns` on each side."""
    return y[:, :, rows : y.shape[2] - rows, columns : y.shape[3] - columns]


def fill_border(y: Tensor, rows: int, columns: int) -> None:
    """Write the border of `y`, whose interior is there."""
    height, width = y.shape[2] - 2 * rows, y.shape[3] - 2 * columns
    if columns:
        lines = y[:, :, rows : rows + height]
        lines[..., :columns] = lines[..., columns + 1 : 2 * columns + 1].flip(-1)
        lines[..., columns + width :] = lines[..., width - 1 : columns + width - 1].flip(-1)
    if rows:
        y[:, :, :rows] = y[:, :, rows + 1 : 2 * rows + 1].flip(-2)
        y[:, :, rows + height :] = y[:, :, height - 1 : rows + height - 1].flip(-2)


def fold_in_torch(g: Tensor, rows: int, columns: int) -> Tensor:
    """`reflect_fold` in torch, without a gradient."""
    x = empty_folded(g, rows, columns).copy_(interior(g, rows, columns))
    height, width = x.shape[2:]
    if columns:
        lines = g[:, :, rows : rows + height]
        x[..., 1 : columns + 1] += lines[..., :columns].flip(-1)
        x[..., width - 1 - columns : width - 1] += lines[..., columns + width :].flip(-1)
    if rows:
        x[:, :, 1 : rows + 1] += fold_in_torch(g[:, :, :rows], 0, columns).flip(-2)
        x[:, :, height - 1 - rows : height - 1] += fold_in_torch(g[:, :, rows + height :], 0, columns).flip(-2)
    return x
