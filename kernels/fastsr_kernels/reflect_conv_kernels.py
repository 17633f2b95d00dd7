"""The kernels of `reflect_conv`.

Memory is (N, H, W, C), that of the weights (O, kh, kw, C). A program makes the products of a tile of pixels,
two-dimensional so that few tiles meet the border, with some channels; the sum goes over taps and channels in one loop,
for only the innermost loop is pipelined. The channel counts come divided by a power of two that is known at compile
time: that they are multiples of it lets a thread load several channels at once.
"""

from __future__ import annotations

from typing import Any

from .backend import jit, tl
from .reflect_pad_kernels import reflect_index

# Functions of a tile of pixels and channels


SIZES = ("inputs", "outputs", "height", "width", "out_height", "out_width", "tiles", "tiles_of_part")
"""Arguments whose values make no difference to the machine code: one compilation does for all images."""


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


# The convolution


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
    """Add to `total` what the pixels of image `n` sum up to, each read from where the reflection puts it."""
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


# The gradient for x


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


# The gradient for w


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
