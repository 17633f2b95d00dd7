"""The kernels of `reflect_pad` and its adjoint, and their launchers.

A program makes some pixels of one picture, and some of their channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .backend import AotCase, device_guard, jit, tl, triton
from .tiles import aligned, nhwc_blocks


@jit
def reflect_index(i: tl.tensor, size: tl.tensor) -> tl.tensor:
    """Return where sample `i`, from 1 - size to 2 size - 2, of a reflected axis of `size` samples lies."""
    i = tl.abs(i)
    return tl.where(i >= size, 2 * (size - 1) - i, i)


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


# The launchers


def launch_pad(x: Tensor, y: Tensor, rows: int, columns: int) -> Tensor:
    """Write `x` with its border into `y`, NHWC, and return it."""
    return _launch(_pad_kernel, x, y, x.shape, rows, columns)


def launch_fold(g: Tensor, x: Tensor, rows: int, columns: int) -> Tensor:
    """Write `g`, its border folded in, into `x`, NHWC, and return it."""
    return _launch(_fold_kernel, g, x, x.shape, rows, columns)


def _launch(kernel: Any, x: Tensor, y: Tensor, unpadded: torch.Size, rows: int, columns: int) -> Tensor:
    if y.numel() == 0:
        return y
    pixels = y.shape[2] * y.shape[3]
    blocks = nhwc_blocks(x.shape[1], x.stride())
    pixel_blocks = triton.cdiv(pixels, blocks["BLOCK_PIXELS"])
    grid = x.shape[0] * pixel_blocks, triton.cdiv(x.shape[1], blocks["BLOCK_CHANNELS"])
    with device_guard(x):
        kernel[grid](
            x,
            y,
            *unpadded[1:],
            *x.stride(),
            pixel_blocks,
            ROWS=rows,
            COLUMNS=columns,
            **blocks,
            num_warps=4,
            enable_fp_fusion=True,
        )
    return y


def aot_cases() -> list[AotCase]:
    """Return what the launchers launch for layers of Deep Image Prior, for ``python -m benchmarks.aot``."""
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
