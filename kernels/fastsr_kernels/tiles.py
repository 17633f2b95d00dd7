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
        channels: of the image.
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
def aligned_strides(strides: tl.tuple, ALIGN: tl.constexpr) -> tl.tuple:
    """Return the strides of N, H and W, each `aligned`."""
    return aligned(strides[0], ALIGN), aligned(strides[1], ALIGN), aligned(strides[2], ALIGN)


@jit
def program_tile(
    pixels: tl.tensor, channels: tl.tensor, BLOCK_PIXELS: tl.constexpr, BLOCK_CHANNELS: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Return the image, the pixels and the channels of a program that takes one tile.

    The axes of the grid are blocks of pixels, blocks of channels and, where pixels are counted by image, images.

    Returns:
        image, pixel, channel, here, mask: the image's number (int64); the numbers of the pixels and of the channels;
        which of these channels exist; and which elements (pixel, channel) of the tile exist.
    """
    channel, here = program_channels(channels, BLOCK_CHANNELS)
    pixel = tl.program_id(0) * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)
    mask = (pixel < pixels)[:, None] & here[None, :]
    return tl.program_id(2).to(tl.int64), pixel, channel, here, mask


@jit
def program_part(
    pixels: tl.tensor, pixels_per_program: tl.tensor, channels: tl.tensor, BLOCK_CHANNELS: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Return the image, the channels and the range of pixels of a program that goes over several tiles.

    The grid is that of `program_tile`, with `pixels_per_program` pixels in place of a tile's.

    Returns:
        image, channel, here, first, end: as `program_tile`, and the program's first pixel and the one after its last.
    """
    channel, here = program_channels(channels, BLOCK_CHANNELS)
    first = tl.program_id(0) * pixels_per_program
    return tl.program_id(2).to(tl.int64), channel, here, first, tl.minimum(first + pixels_per_program, pixels)


@jit
def part_tile(
    start: tl.tensor, end: tl.tensor, here: tl.tensor, BLOCK_PIXELS: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:
    """Return the pixels from `start` on, up to `end`, and which elements of their tile exist."""
    pixel = start + tl.arange(0, BLOCK_PIXELS)
    return pixel, (pixel < end)[:, None] & here[None, :]


@jit
def program_channels(channels: tl.tensor, BLOCK_CHANNELS: tl.constexpr) -> tuple[tl.tensor, tl.tensor]:
    """Return the channels of a program, from the second axis of the grid, and which of them exist."""
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    return channel, channel < channels


@jit
def address(pixel: tl.tensor, height: tl.tensor, width: tl.tensor, strides: tl.tuple) -> tl.tensor:
    """Return the offset of pixels numbered through a batch, given the strides of N, H and W."""
    line = pixel // width
    n, row, column = line // height, line % height, pixel % width
    return n.to(tl.int64) * strides[0] + row.to(tl.int64) * strides[1] + column.to(tl.int64) * strides[2]


@jit
def load_channels(at: tl.tensor, channel: tl.tensor, mask: tl.tensor) -> tl.tensor:
    """Return channels that are adjacent in memory, of the pixels at these addresses, in float32."""
    return tl.load(at[:, None] + channel[None, :], mask=mask, other=0).to(tl.float32)


@jit
def load_pixels(
    x: tl.tensor, image: tl.tensor, pixel: tl.tensor, channel: tl.tensor, mask: tl.tensor, strides: tl.tuple
) -> tl.tensor:
    """Return a tile of pixels and channels of an image, in float32; the strides are those of (N, pixels, C)."""
    x += image * strides[0]
    at = pixel.to(tl.int64)[:, None] * strides[1] + channel.to(tl.int64)[None, :] * strides[2]
    return tl.load(x + at, mask=mask, other=0).to(tl.float32)


@jit
def store_pixels(
    y: tl.tensor,
    value: tl.tensor,
    image: tl.tensor,
    pixel: tl.tensor,
    channel: tl.tensor,
    mask: tl.tensor,
    strides: tl.tuple,
) -> None:
    """Store a tile where `load_pixels` would load it from."""
    y += image * strides[0]
    at = pixel.to(tl.int64)[:, None] * strides[1] + channel.to(tl.int64)[None, :] * strides[2]
    tl.store(y + at, value.to(y.dtype.element_ty), mask=mask)
