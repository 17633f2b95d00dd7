"""The kernels of `upsample_blur` and `blur_downsample`, and their launchers.

A program works on a tile of the smaller of both pictures: in contiguous memory on some lines, of any channel, and
columns; in channels_last memory on some pixels and channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .backend import AotCase, device_guard, jit, tl, triton
from .memory import memory_order
from .tiles import aligned, nhwc_blocks

__all__ = ["aot_cases", "launch_down", "launch_up"]

BLOCK = 512
"""Elements of a tile of contiguous memory: they are loaded one by one."""
LONGEST = 256
"""Columns of such a tile, at most."""
WARPS = 4

# Of `width` the compiler must not know the alignment. In contiguous memory it would load a column four samples at a
# time and those beside it one by one, and bring them together through shared memory.


@jit(do_not_specialize_on_alignment=["width"])
def _up_kernel(
    x: tl.tensor,
    y: tl.tensor,
    gain: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    programs: tl.tensor,
    NHWC: tl.constexpr,
    ALIGN: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Write the 2 x 2 pixels of y that lie where a pixel of x does."""
    picture = (tl.program_id(0) // programs).to(tl.int64) * channels * height * width
    line, column, channel, step, mask = _tile(channels, height, width, programs, NHWC, ALIGN, ROWS, COLUMNS)
    x += picture + (line.to(tl.int64) * width + column) * step + channel
    y += 4 * picture + (line.to(tl.int64) * (4 * width) + 2 * column) * step + channel
    row = line % height
    before, behind = mask & (column > 0), mask & (column < width - 1)
    above, below = row > 0, row < height - 1
    left, right = _doubled(x, step, mask, before, behind)
    left, right = 0.75 * gain * left, 0.75 * gain * right
    far_left, far_right = _doubled(x - width * step, step, mask & above, before & above, behind & above)
    _store_pair(y, step, left + 0.25 * gain * far_left, right + 0.25 * gain * far_right, mask, NHWC)
    far_left, far_right = _doubled(x + width * step, step, mask & below, before & below, behind & below)
    y += 2 * width * step
    _store_pair(y, step, left + 0.25 * gain * far_left, right + 0.25 * gain * far_right, mask, NHWC)


@jit(do_not_specialize_on_alignment=["width"])
def _down_kernel(
    x: tl.tensor,
    y: tl.tensor,
    gain: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    programs: tl.tensor,
    NHWC: tl.constexpr,
    ALIGN: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Write pixels of y, which has half of the sides of x; `height` and `width` are its own."""
    picture = (tl.program_id(0) // programs).to(tl.int64) * channels * height * width
    line, column, channel, step, mask = _tile(channels, height, width, programs, NHWC, ALIGN, ROWS, COLUMNS)
    x += 4 * picture + (line.to(tl.int64) * (4 * width) + 2 * column) * step + channel
    y += picture + (line.to(tl.int64) * width + column) * step + channel
    x -= 2 * width * step
    row = line % height
    before, behind = mask & (column > 0), mask & (column < width - 1)
    total = tl.zeros(mask.shape, tl.float32)
    # Only the taps of a row are unrolled: sixteen loads at once would cost the registers of half the programs.
    for tap in range(4):
        there = ((tap > 0) | (row > 0)) & ((tap < 3) | (row < height - 1))
        outer = _load(x - step, before & there) + _load(x + 2 * step, behind & there)
        inner = _load_pair(x, step, mask & there, NHWC)
        total += tl.where((tap == 1) | (tap == 2), 0.75, 0.25) * (0.75 * inner + 0.25 * outer)
        x += 2 * width * step
    tl.store(y, (0.25 * gain * total).to(y.dtype.element_ty), mask=mask)


@jit
def _tile(
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    programs: tl.tensor,
    NHWC: tl.constexpr,
    ALIGN: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Return the tile's lines, columns and channels, the step from column to column, and what there is of the tile.

    A line has all columns: in contiguous memory the lines of a picture are those of all its channels.
    """
    first, beside = tl.program_id(0) % programs * ROWS, tl.program_id(1) * COLUMNS
    if NHWC:
        channels = aligned(channels, ALIGN)
        pixel = first + tl.arange(0, ROWS)[:, None]
        channel = beside + tl.arange(0, COLUMNS)[None, :]
        mask = (pixel < height * width) & (channel < channels)
        return pixel // width, pixel % width, channel, channels, mask
    else:
        # Lines and columns along one axis: of two, Triton 3.6 would give a warp eight lines to store pairs of.
        i = tl.arange(0, ROWS * COLUMNS)[:, None]
        line, column = first + i // COLUMNS, beside + i % COLUMNS
        return line, column, 0, 1, (line < channels * height) & (column < width)


@jit
def _load(at: tl.tensor, mask: tl.tensor) -> tl.tensor:
    return tl.load(at, mask=mask, other=0).to(tl.float32)


@jit
def _load_pair(at: tl.tensor, step: tl.tensor, mask: tl.tensor, NHWC: tl.constexpr) -> tl.tensor:
    """Return the sum of two samples of a row, which are loaded at once where they are next to each other."""
    if NHWC:
        return _load(at, mask) + _load(at + step, mask)
    else:
        left, right = tl.split(_load(at[:, :, None] + tl.arange(0, 2)[None, None, :], mask[:, :, None]))
        return left + right


@jit
def _store_pair(
    at: tl.tensor, step: tl.tensor, left: tl.tensor, right: tl.tensor, mask: tl.tensor, NHWC: tl.constexpr
) -> None:
    """Store two samples of a row, at once where they are next to each other."""
    if NHWC:
        tl.store(at, left.to(at.dtype.element_ty), mask=mask)
        tl.store(at + step, right.to(at.dtype.element_ty), mask=mask)
    else:
        pair = tl.join(left, right).to(at.dtype.element_ty)
        tl.store(at[:, :, None] + tl.arange(0, 2)[None, None, :], pair, mask=mask[:, :, None])


@jit
def _doubled(
    at: tl.tensor, step: tl.tensor, mask: tl.tensor, before: tl.tensor, behind: tl.tensor
) -> tuple[tl.tensor, tl.tensor]:
    """Return the two samples along a row that lie where each of those at `at` does."""
    here = 0.75 * _load(at, mask)
    return here + 0.25 * _load(at - step, before), here + 0.25 * _load(at + step, behind)


# The launchers


def launch_up(x: Tensor, y: Tensor, gain: float) -> Tensor:
    """Write `x` enlarged and blurred, times `gain`, to `y`, which is dense and in the memory order of `x`."""
    return _launch(_up_kernel, x, y, gain, x.shape)


def launch_down(x: Tensor, y: Tensor, gain: float) -> Tensor:
    """Write `x` blurred and shrunk, times `gain`, to `y`, which is dense and in the memory order of `x`."""
    return _launch(_down_kernel, x, y, gain, y.shape)


def _launch(kernel: Any, x: Tensor, y: Tensor, gain: float, small: torch.Size) -> Tensor:
    if y.numel() == 0:
        return y
    layout = memory_order(x)
    x = x.contiguous(memory_format=layout)
    pictures, channels, height, width = small
    rows, columns, blocks = _blocks(channels, height, width, layout == torch.channels_last)
    programs = triton.cdiv(rows, blocks["ROWS"])
    grid = pictures * programs, triton.cdiv(columns, blocks["COLUMNS"])
    with device_guard(x):
        kernel[grid](x, y, gain, channels, height, width, programs, **blocks, num_warps=WARPS, enable_fp_fusion=True)
    return y


def _blocks(channels: int, height: int, width: int, nhwc: bool) -> tuple[int, int, dict[str, int | bool]]:
    """Return how many rows and columns a picture is cut into tiles of, and the kernel's compile-time arguments."""
    if nhwc:
        blocks = nhwc_blocks(channels)
        tile = {"ROWS": blocks["BLOCK_PIXELS"] // 2, "COLUMNS": blocks["BLOCK_CHANNELS"], "ALIGN": blocks["ALIGN"]}
        return height * width, channels, {"NHWC": True, **tile}
    block = min(triton.next_power_of_2(width), LONGEST)
    return channels * height, width, {"NHWC": False, "ROWS": BLOCK // block, "COLUMNS": block, "ALIGN": 1}


def aot_cases() -> list[AotCase]:
    """Return what the launcher launches for layers of StyleGAN, for ``python -m benchmarks.aot``."""
    cases = []
    for name, kernel in (("up", _up_kernel), ("down", _down_kernel)):
        for channels, side, dtype, nhwc in (
            (64, 128, "bf16", True),
            (64, 128, "fp32", True),
            (3, 128, "fp16", True),
            (64, 128, "bf16", False),
            (64, 128, "fp32", False),
        ):
            integers = ("channels", "height", "width", "programs")
            cases.append(
                AotCase(
                    name=f"{name}, {channels}x{side}x{side}, {dtype}, {'channels_last' if nhwc else 'contiguous'}",
                    kernel=kernel,
                    signature={"x": f"*{dtype}", "y": f"*{dtype}", "gain": "fp32", **dict.fromkeys(integers, "i32")},
                    constants=_blocks(channels, side, side, nhwc)[2],
                    num_warps=WARPS,
                    divisible=() if channels % 16 else ("channels",),
                )
            )
    return cases
