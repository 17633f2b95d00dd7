"""The tiles of pixels and channels that kernels take, and how they reach them in memory."""

from __future__ import annotations

import math

from .backend import jit, tl, triton

BLOCK = 2048
"""Elements a program."""


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


@jit
def aligned(number: tl.tensor, ALIGN: tl.constexpr) -> tl.tensor:
    """Return `number`, a multiple of `ALIGN`, in a form that tells the compiler so: it then loads so many at once."""
    return number // ALIGN * ALIGN


@jit
def address(
    pixel: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
) -> tl.tensor:
    """Return the offset of pixels numbered through a batch of pictures."""
    line = pixel // width
    n, row, column = line // height, line % height, pixel % width
    return n.to(tl.int64) * stride_n + row.to(tl.int64) * stride_h + column.to(tl.int64) * stride_w


@jit
def load_channels(at: tl.tensor, channel: tl.tensor, mask: tl.tensor) -> tl.tensor:
    """Return some channels, next to each other in memory, of the pixels at these addresses, in float32."""
    return tl.load(at[:, None] + channel[None, :], mask=mask, other=0).to(tl.float32)


@jit
def load_pixels(
    x: tl.tensor,
    picture: tl.tensor,
    pixel: tl.tensor,
    channel: tl.tensor,
    mask: tl.tensor,
    stride_n: tl.tensor,
    stride_p: tl.tensor,
    stride_c: tl.tensor,
) -> tl.tensor:
    """Return a tile of pixels and channels of a picture, in float32."""
    x += picture * stride_n
    at = pixel.to(tl.int64)[:, None] * stride_p + channel.to(tl.int64)[None, :] * stride_c
    return tl.load(x + at, mask=mask, other=0).to(tl.float32)


@jit
def store_pixels(
    y: tl.tensor,
    value: tl.tensor,
    picture: tl.tensor,
    pixel: tl.tensor,
    channel: tl.tensor,
    mask: tl.tensor,
    stride_n: tl.tensor,
    stride_p: tl.tensor,
    stride_c: tl.tensor,
) -> None:
    """Store what `load_pixels` would load."""
    y += picture * stride_n
    at = pixel.to(tl.int64)[:, None] * stride_p + channel.to(tl.int64)[None, :] * stride_c
    tl.store(y + at, value.to(y.dtype.element_ty), mask=mask)
