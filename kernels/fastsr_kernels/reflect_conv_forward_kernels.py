"""The kernel of the convolution with reflected borders."""

from __future__ import annotations

from .backend import jit, tl
from .reflect_conv_tile_kernels import SIZES, load, product, store, tile_pixels
from .reflect_pad_kernels import reflect_index


@jit
def _gather_forward(
    x: tl.tensor,
    w: tl.tensor,
    n: tl.tensor,
    out_row: tl.tensor,
    out_column: tl.tensor,
    output: tl.tensor,
    total: tl.tensor,
    inputs: tl.tensor,
    outputs: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    KERNEL_H: tl.constexpr,
    KERNEL_W: tl.constexpr,
    PAD_H: tl.constexpr,
    PAD_W: tl.constexpr,
    STRIDE: tl.constexpr,
    CHUNKS: tl.constexpr,
    EVEN: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tl.tensor:
    """Add to `total` what the pixels of picture `n` sum up to, each read from where the reflection puts it."""
    first = n * height
    row = out_row * STRIDE - PAD_H
    column = out_column * STRIDE - PAD_W
    filters = output.to(tl.int64) * (KERNEL_H * KERNEL_W)
    for step in range(0, KERNEL_H * KERNEL_W * CHUNKS):
        tap = step // CHUNKS
        channel = step % CHUNKS * BLOCK_K + tl.arange(0, BLOCK_K)
        in_row = first + reflect_index(row + tap // KERNEL_W, height)
        in_column = reflect_index(column + tap % KERNEL_W, width)
        pixels = load(x, (in_row * width + in_column) * inputs, None, channel, inputs, EVEN)
        weights = load(w, (filters + tap) * inputs, output < outputs, channel, inputs, EVEN)
        total = product(pixels, tl.trans(weights), total, PRECISION)
    return total


@jit(do_not_specialize=SIZES)
def forward_kernel(
    x: tl.tensor,
    w: tl.tensor,
    b: tl.tensor,
    y: tl.tensor,
    x_tiles: tl.tensor,
    w_tiles: tl.tensor,
    inputs: tl.tensor,
    outputs: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    out_height: tl.tensor,
    out_width: tl.tensor,
    KERNEL_H: tl.constexpr,
    KERNEL_W: tl.constexpr,
    PAD_H: tl.constexpr,
    PAD_W: tl.constexpr,
    STRIDE: tl.constexpr,
    DESCRIPTOR: tl.constexpr,
    BIAS: tl.constexpr,
    INPUTS_UNIT: tl.constexpr,
    OUTPUTS_UNIT: tl.constexpr,
    CHUNKS: tl.constexpr,
    EVEN: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    """y = x * w + b. With DESCRIPTOR, `x_tiles` and `w_tiles` describe x and w, by blocks of what a step reads."""
    inputs, outputs = inputs * INPUTS_UNIT, outputs * OUTPUTS_UNIT
    blocks = tl.cdiv(outputs, BLOCK_N)
    tiles_h, tiles_w = tl.cdiv(out_height, BLOCK_H), tl.cdiv(out_width, BLOCK_W)
    block, tile = tl.program_id(0) % blocks, tl.program_id(0) // blocks
    n, tile_h, tile_w = tile // tiles_w // tiles_h, tile // tiles_w % tiles_h, tile % tiles_w
    out_row, out_column = tile_pixels(tile_h, tile_w, BLOCK_H, BLOCK_W)
    inside = (out_row < out_height) & (out_column < out_width)
    output = block * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_H * BLOCK_W, BLOCK_N), tl.float32)

    top, left = tile_h * BLOCK_H - PAD_H, tile_w * BLOCK_W - PAD_W
    unreflected = (top >= 0) & (top + BLOCK_H + KERNEL_H - 1 <= height)
    unreflected &= (left >= 0) & (left + BLOCK_W + KERNEL_W - 1 <= width)
    if DESCRIPTOR and unreflected:
        for step in range(0, KERNEL_H * KERNEL_W * CHUNKS):
            tap, channel = step // CHUNKS, step % CHUNKS * BLOCK_K
            pixels = x_tiles.load([n, top + tap // KERNEL_W, left + tap % KERNEL_W, channel])
            weights = w_tiles.load([block * BLOCK_N, tap, channel])
            pixels = tl.reshape(pixels, (BLOCK_H * BLOCK_W, BLOCK_K))
            weights = tl.reshape(weights, (BLOCK_N, BLOCK_K))
            total = product(pixels, tl.trans(weights), total, PRECISION)
    else:
        total = _gather_forward(
            x,
            w,
            n.to(tl.int64),
            # A pixel beyond the last one computes that one again: its loads need no mask, and it is not stored.
            tl.minimum(out_row, out_height - 1),
            tl.minimum(out_column, out_width - 1),
            output,
            total,
            inputs,
            outputs,
            height,
            width,
            KERNEL_H,
            KERNEL_W,
            PAD_H,
            PAD_W,
            STRIDE,
            CHUNKS,
            EVEN,
            BLOCK_K,
            PRECISION,
        )

    if BIAS:
        total += tl.load(b + output, mask=output < outputs, other=0).to(tl.float32)[None, :]
    line = ((n.to(tl.int64) * out_height + out_row) * out_width + out_column) * outputs
    store(y, line, inside, output, outputs, total)
