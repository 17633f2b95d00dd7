"""The kernel of `resample`, and its launcher: a program makes a tile of a plane, and reads that tile's input once."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from .axis_table import AxisTable, axis_table
from .backend import AotCase, device_guard, float32_products, jit, tl

Factor = tuple[Tensor, Tensor]
"""The start and the weights of `AxisTable.blocks`: the form in which the op takes a table."""


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


def blocks_for_triton(table: AxisTable, axis: str) -> Factor:
    """Return the table cut into blocks, each the side of a tile.

    16 is the least that a matrix product takes, more keeps the overlap of tiles small. Shrinking, larger tiles would be
    multiplied with more zeros and cost registers; a small output is cut into more programs instead. Chosen by counting
    (`python -m benchmarks.aot` shows the registers), not tuned on a GPU.
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


def launch(x: Tensor, rows: Factor | None, columns: Factor | None, height: int, width: int) -> Tensor:
    """Return the planes of `x` resampled to height x width, contiguous; a factor of None leaves its axis as it is."""
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
        None if table is None else blocks_for_triton(table.transpose() if transposed else table, axis)
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
