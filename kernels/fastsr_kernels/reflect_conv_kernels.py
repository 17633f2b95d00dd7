"""The Triton kernels of `reflect_conv`: matrix products that read each pixel from where the reflection puts it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .backend import AotCase, device_guard, float32_products, jit, tl, triton
from .reflect_pad import empty_nhwc, reflect_index

if triton is not None:
    from triton.tools.tensor_descriptor import TensorDescriptor

__all__ = ["Problem", "aot_cases", "launch_dgrad", "launch_forward", "launch_wgrad"]


class Problem(NamedTuple):
    """The sizes of the convolution that an operation belongs to."""

    batch: int
    inputs: int
    outputs: int
    height: int
    width: int
    kernel: tuple[int, int]
    stride: int
    pad: tuple[int, int]

    @classmethod
    def of(cls, x: Sequence[int], w: Sequence[int], stride: int, pad: tuple[int, int]) -> Problem:
        """Return the problem for the shapes of x and w."""
        return cls(x[0], x[1], w[0], x[2], x[3], (w[2], w[3]), stride, pad)

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width with the border."""
        return self.height + 2 * self.pad[0], self.width + 2 * self.pad[1]

    @property
    def out_height(self) -> int:
        """Height of the result."""
        return (self.padded[0] - self.kernel[0]) // self.stride + 1

    @property
    def out_width(self) -> int:
        """Width of the result."""
        return (self.padded[1] - self.kernel[1]) // self.stride + 1


# The kernels. Memory is (N, H, W, C), that of the weights (O, kh, kw, C). A program makes the products of a tile of
# pixels, two-dimensional so that few tiles meet the border, with some channels; the sum goes over taps and channels
# in one loop, for only the innermost loop is pipelined. The channel counts come divided by a power of two that is
# known at compile time: that they are multiples of it lets a thread load several channels at once.


SIZES = ("inputs", "outputs", "height", "width", "out_height", "out_width", "tiles", "tiles_of_part")
"""Arguments whose values make no difference to the machine code: one compilation does for all pictures."""


@jit
def _pixels(tile_h: tl.tensor, tile_w: tl.tensor, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr) -> Any:
    """The rows and columns of the pixels of a tile."""
    pixel = tl.arange(0, BLOCK_H * BLOCK_W)
    return tile_h * BLOCK_H + pixel // BLOCK_W, tile_w * BLOCK_W + pixel % BLOCK_W


@jit
def _product(a: tl.tensor, b: tl.tensor, total: tl.tensor, PRECISION: tl.constexpr) -> tl.tensor:
    if a.dtype == tl.float32:
        return tl.dot(a, b, total, input_precision=PRECISION)
    else:
        return tl.dot(a, b, total)


@jit
def _load(
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
def _store(
    pointer: tl.tensor,
    line: tl.tensor,
    inside: tl.tensor,
    channel: tl.tensor,
    channels: tl.tensor,
    value: tl.tensor,
) -> None:
    address = pointer + line[:, None] + channel[None, :]
    mask = inside[:, None] & (channel < channels)[None, :]
    tl.store(address, value.to(pointer.dtype.element_ty), mask=mask)


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
        pixels = _load(x, (in_row * width + in_column) * inputs, None, channel, inputs, EVEN)
        weights = _load(w, (filters + tap) * inputs, output < outputs, channel, inputs, EVEN)
        total = _product(pixels, tl.trans(weights), total, PRECISION)
    return total


@jit(do_not_specialize=SIZES)
def _forward_kernel(
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
    out_row, out_column = _pixels(tile_h, tile_w, BLOCK_H, BLOCK_W)
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
            total = _product(pixels, tl.trans(weights), total, PRECISION)
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
    _store(y, line, inside, output, outputs, total)


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
def _dgrad_kernel(
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
    row, column = _pixels(tile_h, tile_w, BLOCK_H, BLOCK_W)
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
            total = _product(pixels, weights, total, PRECISION)
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
            pixels = _load(g, line, sees_row & sees_column, output, outputs, EVEN)
            line = (output.to(tl.int64) * KERNEL_H + tap_h) * KERNEL_W + tap_w
            weights = _load(w, line * inputs, output < outputs, channel, inputs, False)
            total = _product(pixels, weights, total, PRECISION)

    line = ((n.to(tl.int64) * height + row) * width + column) * inputs
    _store(dx, line, (row < height) & (column < width), channel, inputs, total)


@jit(do_not_specialize=SIZES)
def _wgrad_kernel(
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
        out_row, out_column = _pixels(tile // tiles_w % tiles_h, tile % tiles_w, BLOCK_H, BLOCK_W)
        inside = (out_row < out_height) & (out_column < out_width)
        line = ((n * out_height + out_row) * out_width + out_column) * outputs
        gradient = tl.trans(_load(g, line, inside, output, outputs, OUTPUTS_EVEN))
        # Where the gradient is not inside, it is zero: there x needs no mask, only an address that exists.
        row = tl.minimum(out_row, out_height - 1) * STRIDE + tap_h - PAD_H
        column = tl.minimum(out_column, out_width - 1) * STRIDE - PAD_W
        line = (n * height + reflect_index(row, height)) * width
        pixels = _load(x, (line + reflect_index(column + tap_w, width)) * inputs, None, channel, inputs, INPUTS_EVEN)
        total_0 = _product(gradient, pixels, total_0, PRECISION)
        if TAPS > 1:
            in_column = reflect_index(column + tap_1, width)
            pixels = _load(x, (line + in_column) * inputs, None, channel, inputs, INPUTS_EVEN)
            total_1 = _product(gradient, pixels, total_1, PRECISION)
        if TAPS > 2:
            in_column = reflect_index(column + tap_2, width)
            pixels = _load(x, (line + in_column) * inputs, None, channel, inputs, INPUTS_EVEN)
            total_2 = _product(gradient, pixels, total_2, PRECISION)

    line = ((part.to(tl.int64) * outputs + output) * KERNEL_H + tap_h) * KERNEL_W + tap_w
    _store(parts, line * inputs, output < outputs, channel, inputs, total_0)
    if TAPS > 1:
        exists = output < tl.where(tap_w + 1 < KERNEL_W, outputs, 0)
        _store(parts, (line + 1) * inputs, exists, channel, inputs, total_1)
    if TAPS > 2:
        exists = output < tl.where(tap_w + 2 < KERNEL_W, outputs, 0)
        _store(parts, (line + 2) * inputs, exists, channel, inputs, total_2)


@jit
def _sum_kernel(parts: tl.tensor, dw: tl.tensor, size: tl.tensor, count: tl.tensor, BLOCK: tl.constexpr) -> None:
    """The sum of `count` parts of `size` numbers each."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    part = parts + i
    for _ in range(0, count):
        total += tl.load(part, mask=i < size, other=0)
        part += size
    tl.store(dw + i, total.to(dw.dtype.element_ty), mask=i < size)


# The launchers. Tiles and splits are functions of the sizes alone, the same on every GPU; chosen by counting
# (`python -m benchmarks.aot` shows registers and shared memory), not tuned on a GPU.

PROGRAMS = 264
"""As many programs as should run at least: two for each multiprocessor of an H200."""
SUM_BLOCK = 1024
SCRATCH_BYTES = 2**26
"""The most memory that the parts of a `wgrad` may take, unless one part takes more."""


def _unit(channels: int) -> int:
    """The largest power of two up to 16 that divides `channels`."""
    return math.gcd(channels, 16)


def _block(channels: int, largest: int) -> int:
    """How many channels a block should have: 16 at the least, for a matrix product, and few that do not exist.

    A smaller block reads its other side more often: hence the eighth that is added.
    """
    sizes = [size for size in (128, 64, 32, 16) if size <= largest]
    return min(sizes, key=lambda size: -(-channels // size) * (size + largest / 8))


def _tile(pixels: int, width: int) -> tuple[int, int]:
    """The height and the width of a tile of so many pixels: about square, and no wider than the picture needs."""
    columns = 2 ** math.ceil(math.log2(pixels) / 2)
    while columns > 1 and columns >= 2 * width:
        columns //= 2
    return pixels // columns, columns


def _generation(device: torch.device) -> str:
    """The kind of GPU that the tiles are for: "hip", "hopper" (and its like for data centres), or "ampere"."""
    if torch.version.hip is not None:
        return "hip"
    if device.type == "cuda" and torch.cuda.get_device_capability(device)[0] not in (9, 10):
        return "ampere"  # sm_120 too, which has no more shared memory than that
    return "hopper"


class _Launch(NamedTuple):
    """The compile-time arguments of a kernel, and how it is launched."""

    constants: dict[str, Any]
    options: dict[str, Any]


def _product_launch(
    problem: Problem, adjoint: bool, itemsize: int, precision: str, descriptor: bool, generation: str
) -> _Launch:
    """How the convolution (or `dgrad`, its adjoint) is launched."""
    summed, made = (problem.outputs, problem.inputs) if adjoint else (problem.inputs, problem.outputs)
    height, width = (problem.height, problem.width) if adjoint else (problem.out_height, problem.out_width)
    classes = problem.stride if adjoint else 1  # the pixels of a tile are every other one
    height, width = -(-height // classes), -(-width // classes)
    for pixels, largest in ((128, 128), (128, 64), (64, 64), (64, 32)):
        block_n = _block(made, largest if itemsize == 2 else largest // 2)
        block_h, block_w = _tile(pixels, width)
        tiles = problem.batch * classes**2 * -(-height // block_h) * -(-width // block_w)
        if tiles * -(-made // block_n) >= PROGRAMS:
            break
    block_k = _block(summed, 64 if itemsize == 2 else 16 if generation == "ampere" else 32)
    constants = _common_constants(problem, precision) | {
        "DESCRIPTOR": descriptor,
        "CHUNKS": -(-summed // block_k),
        "EVEN": summed % block_k == 0,
        "BLOCK_H": block_h,
        "BLOCK_W": block_w,
        "BLOCK_N": block_n,
        "BLOCK_K": block_k,
    }
    return _Launch(
        constants,
        {"num_warps": 8 if pixels * block_n * itemsize >= 2**15 else 4, "num_stages": 2 if generation == "hip" else 3},
    )


def _common_constants(problem: Problem, precision: str) -> dict[str, Any]:
    return {
        "KERNEL_H": problem.kernel[0],
        "KERNEL_W": problem.kernel[1],
        "PAD_H": problem.pad[0],
        "PAD_W": problem.pad[1],
        "STRIDE": problem.stride,
        "INPUTS_UNIT": _unit(problem.inputs),
        "OUTPUTS_UNIT": _unit(problem.outputs),
        "PRECISION": precision,
    }


def _wgrad_launch(problem: Problem, itemsize: int, precision: str, generation: str) -> _Launch:
    # On Ampere both sides of a product pass through registers: hence fewer sums, and more threads for them.
    block_n = _block(problem.inputs, 64 if itemsize == 2 and generation != "ampere" else 32)
    block_k = _block(problem.outputs, 128 if itemsize == 2 else 64)
    block_h, block_w = _tile(64 if itemsize == 2 else 32, problem.out_width)
    constants = _common_constants(problem, precision) | {
        "TAPS": -(-problem.kernel[1] // -(-problem.kernel[1] // 3)),
        "INPUTS_EVEN": problem.inputs % block_n == 0,
        "OUTPUTS_EVEN": problem.outputs % block_k == 0,
        "BLOCK_H": block_h,
        "BLOCK_W": block_w,
        "BLOCK_N": block_n,
        "BLOCK_K": block_k,
    }
    return _Launch(
        constants,
        {
            "num_warps": 8 if block_n * block_k * itemsize >= (2**13 if generation == "ampere" else 2**14) else 4,
            "num_stages": 2 if generation == "hip" else 3,
        },
    )


def _nhwc(x: Tensor) -> Tensor:
    """The memory of `x` in the order (N, H, W, C), copied where it is not in that order."""
    return x.permute(0, 2, 3, 1).contiguous()


def _conv_precision(device: torch.device) -> str:
    """How float32 products are made: like those of cuDNN's convolutions where that is TF32, else like float32."""
    precision = float32_products(device)
    # Unlike `allow_tf32`, this may always be read, and it knows of all the ways to ask for TF32.
    if precision == "tf32x3" and torch.backends.cudnn.conv.fp32_precision == "tf32":  # type: ignore[attr-defined]
        return "tf32"
    return precision


def _sizes(problem: Problem) -> tuple[int, ...]:
    return (
        problem.inputs // _unit(problem.inputs),
        problem.outputs // _unit(problem.outputs),
        problem.height,
        problem.width,
        problem.out_height,
        problem.out_width,
    )


def _can_describe(problem: Problem, *tensors: Tensor) -> bool:
    """Whether the tiles of such tensors can be read through descriptors."""
    if problem.stride != 1 or _generation(tensors[0].device) != "hopper":
        return False
    return all(tensor.shape[-1] * tensor.element_size() % 16 == 0 and tensor.data_ptr() % 16 == 0 for tensor in tensors)


def launch_forward(x: Tensor, w: Tensor, b: Tensor | None, problem: Problem, impl: str) -> Tensor:
    """Return the convolution of `x` with `w`, and `b` added."""
    y = empty_nhwc(x, problem.batch, problem.outputs, problem.out_height, problem.out_width)
    pixels, weights = _nhwc(x), _nhwc(w)
    precision = _conv_precision(x.device)
    descriptor = impl == "descriptor" and _can_describe(problem, pixels, weights)
    constants, options = _product_launch(problem, False, x.element_size(), precision, descriptor, _generation(x.device))
    tiles: tuple[Any, Any] = None, None
    if descriptor:
        block = [constants["BLOCK_N"], 1, constants["BLOCK_K"]]
        tiles = _describe_pixels(pixels, constants), _describe(weights.flatten(1, 2), block)
    count = problem.batch * _tiles(problem.out_height, problem.out_width, 1, constants)
    with device_guard(x):
        _forward_kernel[(count * -(-problem.outputs // constants["BLOCK_N"]),)](
            pixels,
            weights,
            None if b is None else b.contiguous(),
            y,
            *tiles,
            *_sizes(problem),
            BIAS=b is not None,
            **constants,
            **options,
            enable_fp_fusion=True,
        )
    return y


def launch_dgrad(g: Tensor, w: Tensor, problem: Problem, impl: str) -> Tensor:
    """Return the gradient for x, from that of the result, `g`."""
    dx = empty_nhwc(g, problem.batch, problem.inputs, problem.height, problem.width)
    pixels, weights = _nhwc(g), _nhwc(w)
    precision = _conv_precision(g.device)
    descriptor = impl == "descriptor" and _can_describe(problem, pixels, weights)
    constants, options = _product_launch(problem, True, g.element_size(), precision, descriptor, _generation(g.device))
    tiles: tuple[Any, Any] = None, None
    if descriptor:
        block = [constants["BLOCK_K"], 1, constants["BLOCK_N"]]
        tiles = _describe_pixels(pixels, constants), _describe(weights.flatten(1, 2), block)
    count = problem.batch * problem.stride**2 * _tiles(problem.height, problem.width, problem.stride, constants)
    with device_guard(g):
        _dgrad_kernel[(count * -(-problem.inputs // constants["BLOCK_N"]),)](
            pixels, weights, dx, *tiles, *_sizes(problem), **constants, **options, enable_fp_fusion=True
        )
    return dx


def launch_wgrad(x: Tensor, g: Tensor, problem: Problem) -> Tensor:
    """Return the gradient for w, from that of the result, `g`."""
    dw = empty_nhwc(x, problem.outputs, problem.inputs, problem.kernel[0], problem.kernel[1])
    constants, options = _wgrad_launch(problem, x.element_size(), _conv_precision(x.device), _generation(x.device))
    programs = -(-problem.inputs // constants["BLOCK_N"]) * -(-problem.outputs // constants["BLOCK_K"])
    programs *= problem.kernel[0] * -(-problem.kernel[1] // constants["TAPS"])
    tiles = problem.batch * _tiles(problem.out_height, problem.out_width, 1, constants)
    tiles_of_part = -(-tiles // _count_parts(programs, tiles, dw.numel()))
    count = -(-tiles // tiles_of_part)
    parts = dw if count == 1 else x.new_empty(count, dw.numel(), dtype=torch.float32)
    with device_guard(x):
        _wgrad_kernel[(count * programs,)](
            _nhwc(x),
            _nhwc(g),
            parts,
            *_sizes(problem),
            tiles,
            tiles_of_part,
            **constants,
            **options,
            enable_fp_fusion=True,
        )
        if count > 1:
            _sum_kernel[(-(-dw.numel() // SUM_BLOCK),)](
                parts, dw, dw.numel(), count, BLOCK=SUM_BLOCK, num_warps=4, enable_fp_fusion=True
            )
    return dw


def _count_parts(programs: int, tiles: int, size: int) -> int:
    """In how many parts `wgrad` is made: enough to fill a GPU, within the scratch memory, of a few tiles each."""
    return max(1, min(PROGRAMS // programs, -(-tiles // 4), SCRATCH_BYTES // (4 * size)))


def _tiles(height: int, width: int, step: int, constants: Mapping[str, Any]) -> int:
    return -(-height // (step * constants["BLOCK_H"])) * -(-width // (step * constants["BLOCK_W"]))


def _describe_pixels(pixels: Tensor, constants: Mapping[str, Any]) -> Any:
    return _describe(pixels, [1, constants["BLOCK_H"], constants["BLOCK_W"], constants["BLOCK_K"]])


def _describe(x: Tensor, block: list[int]) -> Any:
    """A descriptor of blocks of a dense tensor."""
    strides = [math.prod(x.shape[axis + 1 :]) for axis in range(x.ndim)]
    return TensorDescriptor(x, list(x.shape), strides, block)


def _layer(x: tuple[int, ...], w: tuple[int, ...], stride: int) -> Problem:
    return Problem.of(x, w, stride, (w[2] // 2, w[3] // 2))


def aot_cases() -> list[AotCase]:
    """The launches that matter: layers of Deep Image Prior, and a wide first layer in float32."""
    layers = [
        ("bf16", _layer((1, 128, 512, 512), (128, 128, 3, 3), 1)),
        ("bf16", _layer((1, 132, 512, 512), (128, 132, 3, 3), 1)),
        ("bf16", _layer((1, 128, 32, 32), (128, 128, 3, 3), 1)),
        ("fp16", _layer((1, 32, 256, 256), (32, 32, 3, 3), 1)),
        ("fp32", _layer((1, 3, 256, 256), (64, 3, 9, 9), 1)),
        ("bf16", _layer((1, 128, 512, 512), (128, 128, 1, 1), 1)),
        ("bf16", _layer((1, 128, 512, 512), (128, 128, 3, 3), 2)),
        ("fp32", _layer((1, 128, 256, 256), (128, 128, 3, 3), 1)),
    ]
    targets = {"hip": ("hip",), "ampere": ("sm_80",), "hopper": ("sm_90", "sm_100")}
    return [
        _aot_case(pass_, dtype, problem, precision, generation, backends, descriptor)
        for descriptor in (False, True)
        for dtype, problem in ((layers[0], layers[-1]) if descriptor else layers)
        for pass_ in (("forward", "dgrad") if descriptor else ("forward", "dgrad", "wgrad"))
        for generation, backends in targets.items()
        if generation == "hopper" or not descriptor
        for precision in (("ieee",) if dtype != "fp32" or generation == "hip" else ("tf32", "tf32x3"))
    ] + [
        AotCase(
            "sum of the parts of wgrad",
            _sum_kernel,
            {"parts": "*fp32", "dw": "*bf16", "size": "i32", "count": "i32"},
            {"BLOCK": SUM_BLOCK},
            divisible=("size",),
        )
    ]


def _aot_case(
    pass_: str,
    dtype: str,
    problem: Problem,
    precision: str,
    generation: str,
    backends: tuple[str, ...],
    descriptor: bool,
) -> AotCase:
    itemsize = 4 if dtype == "fp32" else 2
    if pass_ == "wgrad":
        launch = _wgrad_launch(problem, itemsize, precision, generation)
        pointers = {"x": f"*{dtype}", "g": f"*{dtype}", "parts": "*fp32"}
    else:
        launch = _product_launch(problem, pass_ == "dgrad", itemsize, precision, descriptor, generation)
        pointers = dict.fromkeys(("x", "w", "b", "y", "g", "dx"), f"*{dtype}")
    kernel = {"forward": _forward_kernel, "dgrad": _dgrad_kernel, "wgrad": _wgrad_kernel}[pass_]
    constants = launch.constants | ({"BIAS": True} if pass_ == "forward" else {})
    tiles: dict[str, str] = {}
    if descriptor:
        sides = constants["BLOCK_N"], constants["BLOCK_K"]
        weights = [sides[0], 1, sides[1]] if pass_ == "forward" else [sides[1], 1, sides[0]]
        pixels = [1, constants["BLOCK_H"], constants["BLOCK_W"], constants["BLOCK_K"]]
        names = ("x_tiles" if pass_ == "forward" else "g_tiles"), "w_tiles"
        tiles = {name: f"tensordesc<{dtype}{block}>" for name, block in zip(names, (pixels, weights), strict=True)}
    elif pass_ != "wgrad":
        constants |= {("x_tiles" if pass_ == "forward" else "g_tiles"): None, "w_tiles": None}
    name = f"{pass_} {problem.kernel[0]}x{problem.kernel[1]}, {problem.inputs} to {problem.outputs}, {problem.height}"
    rows = constants["BLOCK_K"] if pass_ == "wgrad" else constants["BLOCK_H"] * constants["BLOCK_W"]
    return AotCase(
        f"{name}, stride {problem.stride}, {precision if dtype == 'fp32' else dtype}"
        + (", descriptor" if descriptor else ""),
        kernel,
        pointers | tiles | dict.fromkeys(SIZES, "i32"),
        constants,
        **launch.options,
        matrix=True,
        warpgroups=rows >= 64,
        backends=backends,
    )
