"""The kernel of `dgrad`: a pixel gathers from the one to nine places that see it."""

from __future__ import annotations

from typing import Any

from .backend import jit, tl
from .reflect_conv_tile_kernels import SIZES, load, product, store, tile_pixels


@jit
def _count_taps(
    first: tl.tensor,
    size: tl.tensor,
    BLOCK: tl.constexpr,
    KERNEL: tl.constexpr,
    PAD: tl.constexpr,
    STRIDE: tl.constexpr,
) -> Any:
    """How many taps the pixels first, first + STRIDE, ... (BLOCK of them) of an axis are seen by.

    Three numbers: seen at their own places, and as mirror images before the first pixel and behind the last one.
    """
    ordinary = tl.cdiv(KERNEL - (first + PAD) % STRIDE, STRIDE)
    before = tl.cdiv(PAD - (first + PAD) % STRIDE, STRIDE)
    behind = tl.cdiv(PAD - (first + KERNEL) % STRIDE, STRIDE)
    before = tl.where(first <= PAD, before, 0)
    behind = tl.where(first + (BLOCK - 1) * STRIDE >= size - 1 - PAD, behind, 0)
    return ordinary, before, behind


@jit
def _find_tap(
    number: tl.tensor,
    ordinary: tl.tensor,
    before: tl.tensor,
    i: tl.tensor,
    first: tl.tensor,
    size: tl.tensor,
    out_size: tl.tensor,
    KERNEL: tl.constexpr,
    PAD: tl.constexpr,
    STRIDE: tl.constexpr,
) -> Any:
    """Tap `number` of those counted by `_count_taps`, the outputs where it sees the pixels `i`, and whether it does.

    A padded axis holds pixel i at i + PAD; also at PAD - i if it is repeated before the first pixel, and at
    2 (size - 1) - i + PAD if it is repeated behind the last. Output o has tap t at o * STRIDE + t; for STRIDE 2, every
    other tap sees a pixel, and all pixels of a program are seen by the same ones.
    """
    mirrored = number >= ordinary
    behind = number >= ordinary + before
    # Only the first PAD taps reach over the first pixel, only the last PAD over the last one.
    lowest = tl.where(behind, KERNEL - PAD, 0)
    skipped = tl.where(behind, ordinary + before, tl.where(mirrored, ordinary, 0))
    tap = lowest + (first + PAD + lowest) % STRIDE + (number - skipped) * STRIDE
    sign = tl.where(mirrored, -1, 1)
    out = (sign * i + (tl.where(behind, 2 * (size - 1) + PAD, PAD) - tap)) // STRIDE  # without a remainder
    # A pixel too far from the border to be repeated there would be seen by an output that does not exist. The pixel
    # at the very edge would not, but it is its own mirror image.
    edge = tl.where(behind, size - 1, tl.where(mirrored, 0, -1))
    return tap, out, (i != edge) & (out >= 0) & (out < out_size)


@jit(do_not_specialize=SIZES)
def dgrad_kernel(
    g: tl.tensor,
    w: tl.tensor,
    dx: tl.tensor,
    g_tiles: tl.tensor,
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
    """The adjoint in x. With STRIDE 2 the pixels of a program are every other one, in rows and in columns."""
    inputs, outputs = inputs * INPUTS_UNIT, outputs * OUTPUTS_UNIT
    blocks = tl.cdiv(inputs, BLOCK_N)
    tiles_h, tiles_w = tl.cdiv(height, BLOCK_H * STRIDE), tl.cdiv(width, BLOCK_W * STRIDE)
    block, tile = tl.program_id(0) % blocks, tl.program_id(0) // blocks
    parity, tile = tile % (STRIDE * STRIDE), tile // (STRIDE * STRIDE)
    n, tile_h, tile_w = tile // tiles_w // tiles_h, tile // tiles_w % tiles_h, tile % tiles_w
    row, column = tile_pixels(tile_h, tile_w, BLOCK_H, BLOCK_W)
    row, column = row * STRIDE + parity // STRIDE, column * STRIDE + parity % STRIDE
    top, left = tile_h * BLOCK_H * STRIDE + parity // STRIDE, tile_w * BLOCK_W * STRIDE + parity % STRIDE
    channel = block * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_H * BLOCK_W, BLOCK_N), tl.float32)

    rows, rows_before, rows_behind = _count_taps(top, height, BLOCK_H, KERNEL_H, PAD_H, STRIDE)
    columns, columns_before, columns_behind = _count_taps(left, width, BLOCK_W, KERNEL_W, PAD_W, STRIDE)
    all_rows, all_columns = rows + rows_before + rows_behind, columns + columns_before + columns_behind
    unreflected = (all_rows == rows) & (all_columns == columns)
    if DESCRIPTOR and unreflected:
        for step in range(0, KERNEL_H * KERNEL_W * CHUNKS):
            tap, output = step // CHUNKS, step % CHUNKS * BLOCK_K
            # What lies outside of the gradient is zero, and is read as zero.
            seen_h, seen_w = top + PAD_H - tap // KERNEL_W, left + PAD_W - tap % KERNEL_W
            pixels = tl.reshape(g_tiles.load([n, seen_h, seen_w, output]), (BLOCK_H * BLOCK_W, BLOCK_K))
            weights = tl.reshape(w_tiles.load([output, tap, block * BLOCK_N]), (BLOCK_K, BLOCK_N))
            total = product(pixels, weights, total, PRECISION)
    else:
        first = n.to(tl.int64) * out_height
        for step in range(0, all_rows * all_columns * CHUNKS):
            output = step % CHUNKS * BLOCK_K + tl.arange(0, BLOCK_K)
            number = step // CHUNKS
            tap_h, out_row, sees_row = _find_tap(
                number // all_columns, rows, rows_before, row, top, height, out_height, KERNEL_H, PAD_H, STRIDE
            )
            tap_w, out_column, sees_column = _find_tap(
                number % all_columns, columns, columns_before, column, left, width, out_width, KERNEL_W, PAD_W, STRIDE
            )
            line = ((first + out_row) * out_width + out_column) * outputs
            pixels = load(g, line, sees_row & sees_column, output, outputs, EVEN)
            line = (output.to(tl.int64) * KERNEL_H + tap_h) * KERNEL_W + tap_w
            weights = load(w, line * inputs, output < outputs, channel, inputs, False)
            total = product(pixels, weights, total, PRECISION)

    line = ((n.to(tl.int64) * height + row) * width + column) * inputs
    store(dx, line, (row < height) & (column < width), channel, inputs, total)
