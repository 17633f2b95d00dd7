"""Reflection padding of pictures in NHWC memory, and its adjoint, the fold of the border.

The border repeats the pixels next to the edge in mirrored order, without the edge itself (numpy's "reflect"). The
adjoint adds each border pixel to the one it repeats. torch's own backward of this padding adds atomically on a GPU, so
that two runs differ; here both directions give the same bits every time.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .backend import LIBRARY, AotCase, choose, device_guard, jit, tl, triton

__all__ = ["aot_cases", "check_pad", "reflect_fold", "reflect_pad"]

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

BLOCK = 2048
"""Elements a program."""


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
    _check(x, "x")
    check_pad(pad, (x.shape[-2], x.shape[-1]))
    result: Tensor = _Pad.apply(x, pad, _chosen(x, impl))
    return result


def reflect_fold(g: Tensor, pad: tuple[int, int], impl: str | None = None) -> Tensor:
    """Return the adjoint of `reflect_pad` at `g` (N, C, H + 2 rows, W + 2 columns): (N, C, H, W).

    Arguments, result and errors are like those of `reflect_pad`. Sums are made in float32 (float64 for float64) by the
    kernel, in the dtype of `g` by torch.
    """
    _check(g, "g")
    check_pad(pad, (g.shape[-2] - 2 * pad[0], g.shape[-1] - 2 * pad[1]))
    result: Tensor = _Fold.apply(g, pad, _chosen(g, impl))
    return result


def check_pad(pad: tuple[int, int], size: tuple[int, int]) -> None:
    """Raise ValueError unless a picture of `size` = (height, width) can be padded by `pad` = (rows, columns)."""
    if min(pad) < 0:
        raise ValueError(f"pad={pad} is negative")
    if pad[0] >= size[0] or pad[1] >= size[1]:
        raise ValueError(
            f"a picture of {size[0]}x{size[1]} pixels (height x width) has too few to reflect {pad[0]} rows and "
            f"{pad[1]} columns; each pad must be less than the side it extends"
        )


def _check(x: Tensor, name: str) -> None:
    if x.dtype not in DTYPES:
        raise TypeError(f"{name} must be float16, bfloat16, float32 or float64, not {x.dtype}")
    if x.ndim != 4:
        raise ValueError(f"{name} must have the shape (N, C, H, W), not {tuple(x.shape)}")


def _chosen(x: Tensor, impl: str | None) -> str:
    chosen = choose(x, impl)
    return "torch" if x.dtype == torch.float64 else chosen


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


def empty_nhwc(like: Tensor, *shape: int) -> Tensor:
    """Return memory for (N, C, H, W) in NHWC order, of the dtype and on the device of `like`."""
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


@torch.library.impl("fastsr::reflect_pad", "CompositeExplicitAutograd", lib=LIBRARY)
def _run_pad(x: Tensor, rows: int, columns: int, impl: str) -> Tensor:
    if impl == "triton":
        return _launch(_pad_kernel, x, empty_padded(x, rows, columns), rows, columns)
    return pad_in_torch(x, rows, columns)


@torch.library.impl("fastsr::reflect_fold", "CompositeExplicitAutograd", lib=LIBRARY)
def _run_fold(g: Tensor, rows: int, columns: int, impl: str) -> Tensor:
    if impl == "triton":
        return _launch(_fold_kernel, g, empty_folded(g, rows, columns), rows, columns)
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


# The kernels: a program makes some pixels of one picture, and some of their channels.


@jit
def reflect_index(i: tl.tensor, size: tl.tensor) -> tl.tensor:
    """Return where sample `i`, from 1 - size to 2 size - 2, of a reflected axis of `size` samples lies."""
    i = tl.abs(i)
    return tl.where(i >= size, 2 * (size - 1) - i, i)


@jit
def aligned(number: tl.tensor, ALIGN: tl.constexpr) -> tl.tensor:
    """Return `number`, a multiple of `ALIGN`, in a form that tells the compiler so: it then loads so many at once."""
    return number // ALIGN * ALIGN


@jit
def load_folded(
    g: tl.tensor,
    row: tl.tensor,
    column: tl.tensor,
    offset: tl.tensor,
    mask: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> tl.tensor:
    """Return the sum, in float32, of all that a padded `g` holds for the pixels at (row, column).

    `row` and `column` count from the interior's first pixel; `offset`, broadcast to them, is added to every address.
    """
    here = g + (row + ROWS).to(tl.int64) * stride_h + (column + COLUMNS).to(tl.int64) * stride_w
    total = tl.load(here + offset, mask=mask, other=0).to(tl.float32)
    if ROWS + COLUMNS > 0:
        # Few programs have a pixel that the border repeats: only they look there.
        near_row = (row <= ROWS) | (row >= height - 1 - ROWS)
        near_column = (column <= COLUMNS) | (column >= width - 1 - COLUMNS)
        if tl.max((near_row | near_column).to(tl.int32)) > 0:
            for mirror in range(1, 9):  # not unrolled: it would cost registers that the other programs need too
                q_h, in_h = _mirrored(row, height, ROWS, mirror // 3)
                q_w, in_w = _mirrored(column, width, COLUMNS, mirror % 3)
                there = g + q_h.to(tl.int64) * stride_h + q_w.to(tl.int64) * stride_w
                total += tl.load(there + offset, mask=mask & in_h & in_w, other=0).to(tl.float32)
    return total


@jit
def _mirrored(i: tl.tensor, size: tl.tensor, PAD: tl.constexpr, which: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    """Return where a padded axis holds sample `i`, and whether it does: 0 itself, 1 its image before, 2 behind."""
    place = tl.where(which == 0, i, tl.where(which == 1, -i, 2 * (size - 1) - i))
    held = (place >= 0) & (place < size)
    if which != 0:
        held = ((place < 0) & (place >= -PAD)) | ((place >= size) & (place < size + PAD))
    return place + PAD, held


@jit
def _pad_kernel(
    x: tl.tensor,
    y: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
    pixel_blocks: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    ALIGN: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    channels, stride_n = aligned(channels, ALIGN), aligned(stride_n, ALIGN)
    stride_h, stride_w = aligned(stride_h, ALIGN), aligned(stride_w, ALIGN)
    padded_h, padded_w = height + 2 * ROWS, width + 2 * COLUMNS
    picture = (tl.program_id(0) // pixel_blocks).to(tl.int64)
    pixel = tl.program_id(0) % pixel_blocks * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)[:, None]
    channel = (tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)[None, :]).to(tl.int64)
    mask = (pixel < padded_h * padded_w) & (channel < channels)
    row = reflect_index(pixel // padded_w - ROWS, height).to(tl.int64)
    column = reflect_index(pixel % padded_w - COLUMNS, width).to(tl.int64)
    x += picture * stride_n
    value = tl.load(x + row * stride_h + column * stride_w + channel * stride_c, mask=mask)
    y += picture * padded_h * padded_w * channels
    tl.store(y + pixel.to(tl.int64) * channels + channel, value, mask=mask)


@jit
def _fold_kernel(
    x: tl.tensor,
    y: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
    pixel_blocks: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    ALIGN: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    channels, stride_n = aligned(channels, ALIGN), aligned(stride_n, ALIGN)
    stride_h, stride_w = aligned(stride_h, ALIGN), aligned(stride_w, ALIGN)
    picture = (tl.program_id(0) // pixel_blocks).to(tl.int64)
    pixel = tl.program_id(0) % pixel_blocks * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)[:, None]
    channel = (tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)[None, :]).to(tl.int64)
    mask = (pixel < height * width) & (channel < channels)
    total = load_folded(
        x + picture * stride_n,
        pixel // width,
        pixel % width,
        channel * stride_c,
        mask,
        height,
        width,
        stride_h,
        stride_w,
        ROWS,
        COLUMNS,
    )
    y += picture * height * width * channels
    tl.store(y + pixel.to(tl.int64) * channels + channel, total.to(y.dtype.element_ty), mask=mask)


def _launch(kernel: Any, x: Tensor, y: Tensor, rows: int, columns: int) -> Tensor:
    if y.numel() == 0:
        return y
    pixels = y.shape[2] * y.shape[3]
    blocks = nhwc_blocks(x.shape[1], x.stride())
    pixel_blocks = triton.cdiv(pixels, blocks["BLOCK_PIXELS"])
    grid = x.shape[0] * pixel_blocks, triton.cdiv(x.shape[1], blocks["BLOCK_CHANNELS"])
    height, width = (y.shape if kernel is _fold_kernel else x.shape)[2:]
    with device_guard(x):
        kernel[grid](
            x,
            y,
            x.shape[1],
            height,
            width,
            *x.stride(),
            pixel_blocks,
            ROWS=rows,
            COLUMNS=columns,
            **blocks,
            num_warps=4,
            enable_fp_fusion=True,
        )
    return y


def nhwc_blocks(channels: int, *strides: tuple[int, ...]) -> dict[str, int]:
    """Return the compile-time arguments of a kernel that works on tiles of pixels and channels in NHWC memory.

    A tile has as many channels as there are, up to 128, or what wastes least: 132 channels are five blocks of 32, since
    a block of less than a memory sector's worth would read the others' share too.

    Args:
        channels: of the picture.
        strides: (N, C, H, W) of every tensor that the kernel takes.
    """
    block = triton.next_power_of_2(channels)
    if block > 32:
        block = min((128, 64, 32), key=lambda size: triton.cdiv(channels, size) * size)
    align = math.gcd(16, channels, *(n for stride in strides for n in (stride[0], *stride[2:])))
    elements = BLOCK if align >= 4 else BLOCK // 4  # what is loaded one by one takes more registers
    return {"BLOCK_PIXELS": elements // block, "BLOCK_CHANNELS": block, "ALIGN": align}


def aot_cases() -> list[AotCase]:
    """Return what the launcher launches for layers of Deep Image Prior, for ``python -m benchmarks.aot``."""
    integers = ("channels", "height", "width", "stride_n", "stride_h", "stride_w", "pixel_blocks")
    return [
        AotCase(
            name=f"{name}, {channels} channels, {dtype}",
            kernel=kernel,
            signature={"x": f"*{dtype}", "y": f"*{dtype}", **dict.fromkeys(integers, "i32")},
            constants={"stride_c": 1, "ROWS": 1, "COLUMNS": 1, **nhwc_blocks(channels)},
            divisible=integers if channels % 16 == 0 else (),
        )
        for name, kernel in (("pad", _pad_kernel), ("fold", _fold_kernel))
        for channels, dtype in ((128, "bf16"), (132, "bf16"), (3, "fp16"), (32, "fp32"))
    ]
