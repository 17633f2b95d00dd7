"""What the kernels of `reflect_conv` do with a tile of pixels and channels.

Memory is (N, H, W, C), that of the weights (O, kh, kw, C). A program makes the products of a tile of pixels,
two-dimensional so that few tiles meet the border, with some channels; the sum goes over taps and channels in one loop,
for only the innermost loop is pipelined. The channel counts come divided by a power of two that is known at compile
time: that they are multiples of it lets a thread load several channels at once.
"""

from __future__ import annotations

from typing import Any

from .backend import jit, tl

SIZES = ("inputs", "outputs", "height", "width", "out_height", "out_width", "tiles", "tiles_of_part")
"""Arguments whose values make no difference to the machine code: one compilation does for all pictures."""


@jit
def tile_pixels(tile_h: tl.tensor, tile_w: tl.tensor, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr) -> Any:
    """The rows and columns of the pixels of a tile."""
    pixel = tl.arange(0, BLOCK_H * BLOCK_W)
    return tile_h * BLOCK_H + pixel // BLOCK_W, tile_w * BLOCK_W + pixel % BLOCK_W


@jit
def product(a: tl.tensor, b: tl.tensor, total: tl.tensor, PRECISION: tl.constexpr) -> tl.tensor:
    """Add the matrix product of `a` and `b` to `total`."""
    if a.dtype == tl.float32:
        return tl.dot(a, b, total, input_precision=PRECISION)
    else:
        return tl.dot(a, b, total)


@jit
def load(
    pointer: tl.tensor,
    line: tl.tensor,
    inside: tl.tensor,
    channel: tl.tensor,
    channels: tl.tensor,
    EVEN: tl.constexpr,
) -> tl.tensor:
    """Some channels of some pixels or filters, which begin at `line`; zeros where not `inside` (None: nowhere).

    EVEN says that all channels exist.
    """
    address = pointer + line[:, None] + channel[None, :]
    if EVEN:
        if inside is None:
            return tl.load(address)
        else:
            return tl.load(address, mask=inside[:, None], other=0)
    else:
        mask = channel[None, :] < channels
        if inside is not None:
            mask = mask & inside[:, None]
        return tl.load(address, mask=mask, other=0)


@jit
def store(
    pointer: tl.tensor,
    line: tl.tensor,
    inside: tl.tensor,
    channel: tl.tensor,
    channels: tl.tensor,
    value: tl.tensor,
) -> None:
    """Store some channels of some pixels or filters, which begin at `line`, where they are `inside`."""
    address = pointer + line[:, None] + channel[None, :]
    mask = inside[:, None] & (channel < channels)[None, :]
    tl.store(address, value.to(pointer.dtype.element_ty), mask=mask)
