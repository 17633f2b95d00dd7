"""The kernels of `wgrad`: sums over some tiles of pixels each, and the sum of these."""

from __future__ import annotations

from .backend import jit, tl
from .reflect_conv_tile_kernels import SIZES, load, product, store, tile_pixels
from .reflect_pad_kernels import reflect_index


@jit(do_not_specialize=SIZES)
def wgrad_kernel(
    x: tl.tensor,
    g: tl.tensor,
    parts: tl.tensor,
    inputs: tl.tensor,
    outputs: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    out_height: tl.tensor,
    out_width: tl.tensor,
    tiles: tl.tensor,
    tiles_of_part: tl.tensor,
    KERNEL_H: tl.constexpr,
    KERNEL_W: tl.constexpr,
    PAD_H: tl.constexpr,
    PAD_W: tl.constexpr,
    STRIDE: tl.constexpr,
    INPUTS_UNIT: tl.constexpr,
    OUTPUTS_UNIT: tl.constexpr,
    TAPS: tl.constexpr,
    INPUTS_EVEN: tl.constexpr,
    OUTPUTS_EVEN: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    """The adjoint in w, in parts that are yet to be summed: each is that of some tiles of pixels.

    A program makes up to three neighbouring taps, which share what they read of the gradient.
    """
    inputs, outputs = inputs * INPUTS_UNIT, outputs * OUTPUTS_UNIT
    groups: tl.constexpr = (KERNEL_W + TAPS - 1) // TAPS
    blocks_n, blocks_k = tl.cdiv(inputs, BLOCK_N), tl.cdiv(outputs, BLOCK_K)
    number = tl.program_id(0)
    channel = number % blocks_n * BLOCK_N + tl.arange(0, BLOCK_N)
    number //= blocks_n
    output = number % blocks_k * BLOCK_K + tl.arange(0, BLOCK_K)
    number //= blocks_k
    tap_w, tap_h, part = number % groups * TAPS, number // groups % KERNEL_H, number // groups // KERNEL_H
    # A tap beyond the last one computes that one again; it is not stored.
    tap_1, tap_2 = tl.minimum(tap_w + 1, KERNEL_W - 1), tl.minimum(tap_w + 2, KERNEL_W - 1)

    tiles_h, tiles_w = tl.cdiv(out_height, BLOCK_H), tl.cdiv(out_width, BLOCK_W)
    total_0 = tl.zeros((BLOCK_K, BLOCK_N), tl.float32)
    total_1 = total_0
    total_2 = total_0
    for tile in range(part * tiles_of_part, tl.minimum((part + 1) * tiles_of_part, tiles)):
        n = (tile // tiles_w // tiles_h).to(tl.int64)
        out_row, out_column = tile_pixels(tile // tiles_w % tiles_h, tile % tiles_w, BLOCK_H, BLOCK_W)
        inside = (out_row < out_height) & (out_column < out_width)
        line = ((n * out_height + out_row) * out_width + out_column) * outputs
        gradient = tl.trans(load(g, line, inside, output, outputs, OUTPUTS_EVEN))
        # Where the gradient is not inside, it is zero: there x needs no mask, only an address that exists.
        row = tl.minimum(out_row, out_height - 1) * STRIDE + tap_h - PAD_H
        column = tl.minimum(out_column, out_width - 1) * STRIDE - PAD_W
        line = (n * height + reflect_index(row, height)) * width
        pixels = load(x, (line + reflect_index(column + tap_w, width)) * inputs, None, channel, inputs, INPUTS_EVEN)
        total_0 = product(gradient, pixels, total_0, PRECISION)
        if TAPS > 1:
            in_column = reflect_index(column + tap_1, width)
            pixels = load(x, (line + in_column) * inputs, None, channel, inputs, INPUTS_EVEN)
            total_1 = product(gradient, pixels, total_1, PRECISION)
        if TAPS > 2:
            in_column = reflect_index(column + tap_2, width)
            pixels = load(x, (line + in_column) * inputs, None, channel, inputs, INPUTS_EVEN)
            total_2 = product(gradient, pixels, total_2, PRECISION)

    line = ((part.to(tl.int64) * outputs + output) * KERNEL_H + tap_h) * KERNEL_W + tap_w
    store(parts, line * inputs, output < outputs, channel, inputs, total_0)
    if TAPS > 1:
        exists = output < tl.where(tap_w + 1 < KERNEL_W, outputs, 0)
        store(parts, (line + 1) * inputs, exists, channel, inputs, total_1)
    if TAPS > 2:
        exists = output < tl.where(tap_w + 2 < KERNEL_W, outputs, 0)
        store(parts, (line + 2) * inputs, exists, channel, inputs, total_2)


@jit
def sum_kernel(parts: tl.tensor, dw: tl.tensor, size: tl.tensor, count: tl.tensor, BLOCK: tl.constexpr) -> None:
    """The sum of `count` parts of `size` numbers each."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    part = parts + i
    for _ in range(0, count):
        total += tl.load(part, mask=i < size, other=0)
        part += size
    tl.store(dw + i, total.to(dw.dtype.element_ty), mask=i < size)
