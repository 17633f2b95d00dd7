"""Separable resampling y = A_h x A_w^T, its two factors given as banded tables, with the exact adjoint as gradient.

Everything that tells one resampling from another (kernel, ratio, border) is in the tables (`axis_table`), so that one
kernel does them all, and the gradient with respect to x is the same operation with both tables transposed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .axis_table import AxisTable, axis_table
from .backend import LIBRARY, AotCase, choose, constant_result, device_guard, float32_products, jit, tl

__all__ = ["AxisTable", "aot_cases", "axis_table", "resample"]

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

Factor = tuple[Tensor, Tensor]
"""The start and the weights of `AxisTable.blocks`: the form in which the op takes a table."""


def resample(x: Tensor, rows: AxisTable | None, columns: AxisTable | None, impl: str | None = None) -> Tensor:
    """Resample the last two dimensions of `x`: y = A_h x A_w^T.

    Accumulates in float32; float64 input is accumulated in float64, always by the torch implementation.
    Differentiable any number of times, by backward passes. A pixel that is not finite can spoil its neighbourhood
    beyond the reach of the kernel.

    Args:
        x: (..., H, W), float16, bfloat16, float32 or float64, of any strides.
        rows: Table from H to the output's height; None leaves the rows as they are.
        columns: Table from W to the output's width; None leaves the columns as they are.
        impl: auto (None), triton or torch.

    Returns:
        (..., height, width), contiguous, of the dtype of `x`; `x` itself where both tables are None.

    Raises:
        TypeError: The dtype is none of those above.
        ValueError: A table does not fit `x`, or `impl` cannot run here.
    """
    if x.dtype not in DTYPES:
        raise TypeError(f"x must be float16, bfloat16, float32 or float64, not {x.dtype}")
    if x.ndim < 2:
        raise ValueError(f"x must have at least two dimensions, not shape {tuple(x.shape)}")
    for name, table, size in (("rows", rows, x.shape[-2]), ("columns", columns, x.shape[-1])):
        if table is not None and table.in_size != size:
            raise ValueError(f"{name} takes {table.in_size} samples, x has {size} (shape {tuple(x.shape)})")
    chosen = choose(x, impl)
    if rows is None and columns is None:
        return x
    result: Tensor = _Resample.apply(x, rows, columns, "torch" if x.dtype == torch.float64 else chosen, False)
    return result


class _Resample(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, rows: AxisTable | None, columns: AxisTable | None, impl: str, transposed: bool
    ) -> Tensor:
        ctx.arguments = rows, columns, impl, transposed
        height, row_start, row_weights = _factor(rows, "rows", x, impl, transposed)
        width, column_start, column_weights = _factor(columns, "columns", x, impl, transposed)
        y: Tensor = torch.ops.fastsr.resample(
            x, row_start, row_weights, column_start, column_weights, height, width, impl
        )
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, columns, impl, transposed = ctx.arguments
        return _Resample.apply(gradients[0], rows, columns, impl, not transposed), None, None, None, None


def _factor(
    table: AxisTable | None, axis: str, x: Tensor, impl: str, transposed: bool
) -> tuple[int, Tensor | None, Tensor | None]:
    """The output size along an axis, and the table (or its transpose) as the op takes it."""
    if table is None:
        return x.shape[-2 if axis == "rows" else -1], None, None
    size = table.in_size if transposed else table.out_size
    return size, *_blocks(table, axis, impl, transposed, x.device, x.dtype)


@constant_result
def _blocks(
    table: AxisTable, axis: str, impl: str, transposed: bool, device: torch.device, dtype: torch.dtype
) -> Factor:
    """Cut the table into the blocks that the implementation likes; done once, then kept with the table."""
    if transposed:
        table = table.transpose()
    accumulate = torch.float64 if dtype == torch.float64 else torch.float32
    key = axis, impl, device, accumulate
    if key not in table.copies:
        if impl == "triton":
            start, weights = _blocks_for_triton(table, axis)
            start = start.to(device, torch.int32)
        else:
            start, weights = table.blocks(_block_for_torch(table, axis))
        table.copies[key] = start, weights.to(device, accumulate)
    return table.copies[key]


LIBRARY.define(
    "resample(Tensor x, Tensor? row_start, Tensor? row_weights, Tensor? column_start, Tensor? column_weights,"
    " SymInt height, SymInt width, str impl) -> Tensor"
)


@torch.library.register_fake("fastsr::resample", lib=LIBRARY)
def _fake(
    x: Tensor,
    row_start: Tensor | None,
    row_weights: Tensor | None,
    column_start: Tensor | None,
    column_weights: Tensor | None,
    height: int,
    width: int,
    impl: str,
) -> Tensor:
    return x.new_empty(*x.shape[:-2], height, width)


@torch.library.impl("fastsr::resample", "CompositeExplicitAutograd", lib=LIBRARY)
def _run(
    x: Tensor,
    row_start: Tensor | None,
    row_weights: Tensor | None,
    column_start: Tensor | None,
    column_weights: Tensor | None,
    height: int,
    width: int,
    impl: str,
) -> Tensor:
    rows = None if row_start is None or row_weights is None else (row_start, row_weights)
    columns = None if column_start is None or column_weights is None else (column_start, column_weights)
    if impl == "triton":
        return _launch(x, rows, columns, height, width)
    with torch.autocast(x.device.type, enabled=False):  # or the products would be made in bfloat16
        return _multiply(x, rows, columns, height, width)


# The torch implementation: every block of the band is a small dense matrix, multiplied with the lines it needs.

DENSE_LIMIT = 2**14
"""Tables of no more entries than this are one dense matrix: a second call would cost more than the zeros."""


def _block_for_torch(table: AxisTable, axis: str) -> int:
    """Outputs per block: a few times as many as share an input sample, or the blocks would be mostly overlap.

    Blocks of columns take a call each, those of rows share one: hence the larger blocks there.
    """
    if table.in_size * table.out_size <= DENSE_LIMIT:
        return table.out_size
    sharing = table.taps * table.out_size / table.in_size
    return min(table.out_size, max(8, math.ceil((2 if axis == "rows" else 8) * sharing)))


def _multiply(x: Tensor, rows: Factor | None, columns: Factor | None, height: int, width: int) -> Tensor:
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    planes = x.to(dtype).reshape(math.prod(x.shape[:-2]), *x.shape[-2:]).contiguous()
    # Leave the smaller picture to the second product; where both are as large, end with the long lines.
    if columns is None or (height * x.shape[-1], height) <= (x.shape[-2] * width, x.shape[-2]):
        y = _multiply_columns(columns, _multiply_rows(rows, planes, height), width)
    else:
        y = _multiply_rows(rows, _multiply_columns(columns, planes, width), height)
    return y.to(x.dtype).view(*x.shape[:-2], height, width)


def _multiply_rows(factor: Factor | None, x: Tensor, height: int) -> Tensor:
    """A x[p] of contiguous planes (P, H, W)."""
    if factor is None:
        return x
    start, weights = factor
    blocks, size, span = weights.shape
    planes, _, width = x.shape
    if blocks == 1:
        return torch.matmul(weights[0], x.narrow(1, int(start), span))
    y = x.new_empty(planes, height, width)
    for first, end, step in _runs(start.tolist(), height // size):
        top, bottom = first * size, min(end * size, height)
        for source, target in zip(x, y, strict=True):
            # The overlapping spans of a run, without a copy.
            spans = source[start[first] :].as_strided((end - first, span, width), (step * width, width, 1))
            out = target[top:bottom].view(end - first, -1, width)
            torch.bmm(weights[first:end, : out.shape[1]], spans, out=out)
    return y


def _runs(start: list[int], full: int) -> Iterator[tuple[int, int, int]]:
    """Split blocks into runs with starts a step apart: (first, end, step). From block `full` on they are not full."""
    first = 0
    while first < len(start):
        end, step = first + 1, 0
        if end < full:
            step = start[end] - start[first]
        while end < full and start[end] - start[end - 1] == step:
            end += 1
        yield first, end, step
        first = end


def _multiply_columns(factor: Factor | None, x: Tensor, width: int) -> Tensor:
    """x[p] A^T of contiguous planes (P, H, W)."""
    if factor is None:
        return x
    start, weights = factor
    blocks, size, span = weights.shape
    if blocks == 1:
        return functional.linear(x.narrow(2, int(start), span), weights[0])
    y = x.new_empty(*x.shape[:2], width)
    lines = x.view(-1, x.shape[2])
    for first, block, out in zip(start.tolist(), weights, y.view(-1, width).split(size, dim=1), strict=True):
        torch.mm(lines[:, first : first + span], block[: out.shape[1]].T, out=out)
    return y


# The Triton implementation: one program makes one tile of one plane, and reads the input of that tile once.


@jit
def _resample_kernel(
    x: tl.tensor,
    y: tl.tensor,
    row_start: tl.tensor,
    row_weights: tl.tensor,
    column_start: tl.tensor,
    column_weights: tl.tensor,
    channels: tl.tensor,
    in_height: tl.tensor,
    in_width: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
    SPAN_H: tl.constexpr,
    SPAN_W: tl.constexpr,
    CHUNK_H: tl.constexpr,
    CHUNK_W: tl.constexpr,
    START_MULTIPLE: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    tiles_h, tiles_w = tl.cdiv(height, BLOCK_H), tl.cdiv(width, BLOCK_W)
    tile_h, tile_w = tl.program_id(0) // tiles_w % tiles_h, tl.program_id(0) % tiles_w
    plane = (tl.program_id(0) // tiles_w // tiles_h).to(tl.int64)
    x += plane // channels * stride_n + plane % channels * stride_c
    out_h = tile_h * BLOCK_H + tl.arange(0, BLOCK_H)
    out_w = tile_w * BLOCK_W + tl.arange(0, BLOCK_W)

    first_w = tile_w * BLOCK_W
    if COLUMNS:
        first_w = tl.multiple_of(tl.load(column_start + tile_w), START_MULTIPLE)
    if ROWS:
        first_h = tl.load(row_start + tile_h)

    tile = tl.zeros((BLOCK_H, BLOCK_W), tl.float32)
    for chunk_w in range(0, SPAN_W, CHUNK_W):
        in_w = first_w + chunk_w + tl.arange(0, CHUNK_W).to(tl.int64)
        if ROWS:
            part = tl.zeros((BLOCK_H, CHUNK_W), tl.float32)
            for chunk_h in range(0, SPAN_H, CHUNK_H):
                in_h = first_h + chunk_h + tl.arange(0, CHUNK_H).to(tl.int64)
                inside = (in_h[:, None] < in_height) & (in_w[None, :] < in_width)
                pixels = tl.load(x + in_h[:, None] * stride_h + in_w[None, :] * stride_w, mask=inside, other=0)
                tap = chunk_h + tl.arange(0, CHUNK_H)
                weights = tl.load(row_weights + out_h[:, None] * SPAN_H + tap[None, :])
                part = tl.dot(weights, pixels.to(tl.float32), part, input_precision=PRECISION)
        else:
            inside = (out_h[:, None] < in_height) & (in_w[None, :] < in_width)
            pixels = tl.load(
                x + out_h.to(tl.int64)[:, None] * stride_h + in_w[None, :] * stride_w, mask=inside, other=0
            )
            part = pixels.to(tl.float32)
        if COLUMNS:
            tap = chunk_w + tl.arange(0, CHUNK_W)
            weights = tl.load(column_weights + out_w[:, None] * SPAN_W + tap[None, :])
            tile = tl.dot(part, tl.trans(weights), tile, input_precision=PRECISION)
        else:
            tile = part

    y += plane * height * width
    inside = (out_h[:, None] < height) & (out_w[None, :] < width)
    tl.store(y + out_h.to(tl.int64)[:, None] * width + out_w[None, :], tile.to(y.dtype.element_ty), mask=inside)


WARPS, STAGES = 4, 4
START_MULTIPLE = 8
"""Column blocks start at multiples of this, so that a 2-byte pixel is loaded 16 bytes at a time."""


def _blocks_for_triton(table: AxisTable, axis: str) -> Factor:
    """The sides of a tile: 16 is the least that a matrix product takes, more keeps the overlap of tiles small.

    Shrinking, larger tiles would be multiplied with more zeros and cost registers; a small output is cut into more
    programs instead. Chosen by counting (`python -m benchmarks.aot` shows the registers), not tuned on a GPU.
    """
    ratio = table.in_size / table.out_size
    size = 32 if ratio <= 1 else 16
    if axis == "columns" and (ratio <= 1 or table.out_size > 128):
        size *= 2
    start_multiple = 1 if axis == "rows" else START_MULTIPLE
    span = table.taps + math.ceil((size - 1) * ratio) + start_multiple - 1
    return table.blocks(size, 16 if span <= 16 else 32, start_multiple)


def _constants(rows: Factor | None, columns: Factor | None, precision: str) -> dict[str, Any]:
    """The compile-time arguments of the kernel."""
    block_h, span_h = (32, 32) if rows is None else rows[1].shape[1:]
    block_w, span_w = (64, 64) if columns is None else columns[1].shape[1:]
    return {
        "ROWS": rows is not None,
        "COLUMNS": columns is not None,
        "BLOCK_H": block_h,
        "BLOCK_W": block_w,
        "SPAN_H": span_h,
        "SPAN_W": span_w,
        "CHUNK_H": min(span_h, 32),
        "CHUNK_W": span_w if columns is None else min(span_w, 32),
        "START_MULTIPLE": START_MULTIPLE,
        "PRECISION": precision,
    }


def _launch(x: Tensor, rows: Factor | None, columns: Factor | None, height: int, width: int) -> Tensor:
    y = x.new_empty(*x.shape[:-2], height, width)
    if y.numel() == 0:
        return y
    planes = x.flatten(0, -4) if x.ndim > 4 else x[(None,) * (4 - x.ndim)]
    constants = _constants(rows, columns, float32_products(x.device))
    tiles = -(-height // constants["BLOCK_H"]) * -(-width // constants["BLOCK_W"])
    arguments = (x, y, *(rows or (x, x)), *(columns or (x, x)), planes.shape[1], *x.shape[-2:], height, width)
    with device_guard(x):
        _resample_kernel[(planes.shape[0] * planes.shape[1] * tiles,)](
            *arguments, *planes.stride(), **constants, num_warps=WARPS, num_stages=STAGES, enable_fp_fusion=True
        )
    return y


def aot_cases() -> list[AotCase]:
    """The launches that matter: Deep Image Prior's downscale and its gradient, and cubic resizing."""
    shrink, halve = axis_table(1024, 128, kernel="lanczos2"), axis_table(512, 256)
    grow, eighth = axis_table(256, 1024), axis_table(512, 64, kernel="lanczos2")
    cases = [
        ("x8 down", shrink, shrink, False, "fp32"),
        ("x8 down, adjoint", shrink, shrink, True, "fp32"),
        ("x8 down", eighth, eighth, False, "bf16"),
        ("x2 down", halve, halve, False, "fp32"),
        ("x4 up", grow, grow, False, "fp16"),
        ("x4 up, rows", grow, None, False, "fp32"),
        ("x2 down, columns", None, halve, False, "fp32"),
    ]
    return [
        _aot_case(f"{name}, {dtype}", rows, columns, transposed, dtype, backend)
        for name, rows, columns, transposed, dtype in cases
        for backend in ("cuda", "hip")
    ]


def _aot_case(
    name: str, rows: AxisTable | None, columns: AxisTable | None, transposed: bool, dtype: str, backend: str
) -> AotCase:
    row_blocks, column_blocks = (
        None if table is None else _blocks(table, axis, "triton", transposed, torch.device("cpu"), torch.float32)
        for table, axis in ((rows, "rows"), (columns, "columns"))
    )
    constants = _constants(row_blocks, column_blocks, "tf32x3" if backend == "cuda" else "ieee")
    pointers = {"x": dtype, "y": dtype, "row_weights": "fp32", "column_weights": "fp32"}
    pointers |= {"row_start": "i32", "column_start": "i32"}
    sizes = ("in_height", "in_width", "height", "width", "stride_n", "stride_c", "stride_h")
    return AotCase(
        name,
        _resample_kernel,
        {name: f"*{kind}" for name, kind in pointers.items()} | {"channels": "i32"} | dict.fromkeys(sizes, "i32"),
        constants | {"stride_w": 1},  # as Triton specialises it
        num_warps=WARPS,
        num_stages=STAGES,
        divisible=sizes,
        matrix=True,
        backends=(backend,),
    )
