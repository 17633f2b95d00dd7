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

from .arguments import check_dtype
from .axis_table import AxisTable, axis_table
from .backend import LIBRARY, choose, constant_result, no_autocast
from .resample_kernels import Factor, blocks_for_triton, launch

__all__ = ["AxisTable", "axis_table", "resample"]


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
    check_dtype("x", x)
    if x.ndim < 2:
        raise ValueError(f"x must have at least two dimensions, not shape {tuple(x.shape)}")
    for name, table, size in (("rows", rows, x.shape[-2]), ("columns", columns, x.shape[-1])):
        if table is not None and table.in_size != size:
            raise ValueError(f"{name} takes {table.in_size} samples, x has {size} (shape {tuple(x.shape)})")
    chosen = choose(x, impl)
    if rows is None and columns is None:
        return x
    result: Tensor = _Resample.apply(x, rows, columns, chosen, False)
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
            start, weights = blocks_for_triton(table, axis)
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
        return launch(x, rows, columns, height, width)
    with no_autocast(x.device):  # or the products would be made in bfloat16
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
