"""The launchers of `group_norm`'s kernels.

Statistics and sums are made for each channel of each picture; what a group has in common follows from them when the
parts of the programs are put together. So a group may have any number of channels, and the shift, which moves the
mean of a channel, is needed there and nowhere else.

A group that fits into one program, FITTING numbers, is read once by a kernel that does everything; a larger one twice,
by blocks of pixels.

Tensors of pixels are views (N, pixels, C) in which either step is one element.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .backend import AotCase, device_guard, triton
from .channel_statistics import OPTIONS, WARPS, split
from .group_norm_block_kernels import (
    apply_kernel,
    combine_kernel,
    differentiate_kernel,
    statistics_kernel,
    sums_kernel,
    total_kernel,
)
from .group_norm_whole_kernels import group_gradient_kernel, group_kernel
from .memory import rows
from .tiles import BLOCK, nhwc_blocks

FITTING = 8192
"""Numbers of a group up to which one program takes it whole."""
PARTS = 4096
"""Numbers that a program of `combine_kernel` or `total_kernel` takes at a time."""


def launch_forward(
    x: Tensor,
    y: Tensor,
    weight: Tensor,
    bias: Tensor,
    shift: Tensor | None,
    groups: int,
    eps: float,
    swish: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Write the result into `y`, dense; return it with center, rstd and average, (N, C) in float32."""
    x, out = rows(x, y), rows(y, y)
    pictures, pixels, channels = x.shape
    width = channels // groups
    found = center, rstd, average = [x.new_empty(pictures, channels, dtype=torch.float32) for _ in range(3)]
    moved = center if shift is None else shift.contiguous()  # any pointer: without a shift it is not read
    flags = {"SHIFTED": shift is not None}
    with device_guard(x):
        if _fits(width, pixels):
            group_kernel[groups, pictures](
                x,
                out,
                weight,
                bias,
                moved,
                *found,
                channels,
                width,
                pixels,
                *x.stride(),
                *out.stride(),
                eps,
                SWISH=swish,
                **flags,
                **_whole(width, pixels),
                **OPTIONS,
            )
            return y, center, rstd, average
        tile = _tile(x)
        programs, per_program, channel_blocks = _parts(x, tile)
        partial = x.new_empty(pictures, programs, 2, channels, dtype=torch.float32)
        statistics_kernel[programs, channel_blocks, pictures](
            x, partial, channels, pixels, *x.stride(), per_program, **tile, **OPTIONS
        )
        combine_kernel[groups, pictures](
            partial,
            moved,
            *found,
            channels,
            width,
            pixels,
            programs,
            per_program,
            eps,
            **flags,
            **_parts_of_group(width),
            **OPTIONS,
        )
        apply_kernel[triton.cdiv(pixels, tile["BLOCK_PIXELS"]), channel_blocks, pictures](
            x,
            out,
            weight,
            bias,
            center,
            rstd,
            channels,
            pixels,
            *x.stride(),
            *out.stride(),
            SWISH=swish,
            **tile,
            **OPTIONS,
        )
    return y, center, rstd, average


def launch_backward(
    g: Tensor,
    x: Tensor,
    dx: Tensor,
    weight: Tensor,
    bias: Tensor,
    center: Tensor,
    rstd: Tensor,
    average: Tensor,
    groups: int,
    swish: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Write the gradient for x into `dx`, dense; return it with those for weight, bias and shift in float32."""
    g, x, out = rows(g, dx), rows(x, dx), rows(dx, dx)
    pictures, pixels, channels = x.shape
    width = channels // groups
    sums = product, plain, dshift = [torch.empty_like(center) for _ in range(3)]
    tensors = g, x, weight, bias, center, rstd
    steps = *g.stride(), *x.stride()
    with device_guard(x):
        if _fits(width, pixels):
            sizes = channels, width, pixels, *steps, *out.stride()
            group_gradient_kernel[groups, pictures](
                *tensors, average, *sums, out, *sizes, SWISH=swish, **_whole(width, pixels), **OPTIONS
            )
        else:
            tile = _tile(x)
            programs, per_program, channel_blocks = _parts(x, tile)
            partial = x.new_empty(pictures, programs, 2, channels, dtype=torch.float32)
            means = x.new_empty(pictures, 2, channels, dtype=torch.float32)
            sums_kernel[programs, channel_blocks, pictures](
                *tensors, partial, channels, pixels, *steps, per_program, SWISH=swish, **tile, **OPTIONS
            )
            sizes = channels, width, pixels, programs
            total_kernel[groups, pictures](
                partial,
                weight,
                rstd,
                average,
                product,
                plain,
                means,
                dshift,
                *sizes,
                **_parts_of_group(width),
                **OPTIONS,
            )
            differentiate_kernel[triton.cdiv(pixels, tile["BLOCK_PIXELS"]), channel_blocks, pictures](
                *tensors, means, out, channels, pixels, *steps, *out.stride(), SWISH=swish, **tile, **OPTIONS
            )
    return dx, product.sum(0), plain.sum(0), dshift


def _fits(width: int, pixels: int) -> bool:
    return int(triton.next_power_of_2(width) * triton.next_power_of_2(pixels)) <= FITTING


def _whole(width: int, pixels: int) -> dict[str, int]:
    return {"BLOCK_PIXELS": triton.next_power_of_2(pixels), "BLOCK_WIDTH": triton.next_power_of_2(width)}


def _tile(x: Tensor) -> dict[str, int]:
    """Return how many pixels and channels of `x` (N, pixels, C) a program takes at a time."""
    _, pixels, channels = x.shape
    if x.stride(2) == 1:
        blocks = nhwc_blocks(channels, (x.stride(0), 1, x.stride(1)))
        return {name: blocks[name] for name in ("BLOCK_PIXELS", "BLOCK_CHANNELS")}
    block = min(triton.next_power_of_2(pixels), BLOCK)
    return {"BLOCK_PIXELS": block, "BLOCK_CHANNELS": min(triton.next_power_of_2(channels), BLOCK // block)}


def _parts(x: Tensor, tile: dict[str, int]) -> tuple[int, int, int]:
    """Return into how many programs the pixels of a picture are split, how many each takes, and blocks of channels."""
    pictures, pixels, channels = x.shape
    channel_blocks = triton.cdiv(channels, tile["BLOCK_CHANNELS"])
    _, per_program = split(pictures * channel_blocks * pixels, tile["BLOCK_PIXELS"])
    return math.ceil(pixels / per_program), per_program, channel_blocks


def _parts_of_group(width: int) -> dict[str, int]:
    block = triton.next_power_of_2(width)
    return {"BLOCK_PROGRAMS": max(1, PARTS // block), "BLOCK_WIDTH": block}


def aot_cases() -> list[AotCase]:
    """Return what the launchers launch for layers of SR3's U-Net, for ``python -m benchmarks.aot``."""
    vectors = ("partial", "weight", "bias", "center", "rstd", "average", "means", "product_sum", "plain_sum", "dshift")
    lengths = ("channels", "pixels", "width", "programs", "pixels_per_program")
    steps = tuple(f"{tensor}_stride_{axis}" for tensor in "gxy" for axis in "npc")
    scalars = {**dict.fromkeys((*lengths, *steps), "i32"), "eps": "fp32"}

    def case(name: str, kernel: Any, dtype: str, nhwc: bool, constants: dict[str, Any]) -> AotCase:
        one = {f"{tensor}_stride_{'c' if nhwc else 'p'}": 1 for tensor in "gxy"}
        flags = {"SWISH": True, "SHIFTED": True, **one, **constants}
        return AotCase(
            name=name,
            kernel=kernel,
            signature={
                **dict.fromkeys(("g", "x", "y", "dx", "shift"), f"*{dtype}"),
                **dict.fromkeys(vectors, "*fp32"),
                **scalars,
            },
            constants={name: value for name, value in flags.items() if name in kernel.arg_names},
            num_warps=WARPS,
            divisible=tuple(name for name in ("channels", "pixels", *steps) if name not in flags),
        )

    passes = (("statistics", statistics_kernel), ("apply", apply_kernel), ("sums", sums_kernel))
    layers = ((64, "bf16", True), (192, "bf16", True), (64, "fp32", True), (64, "bf16", False))
    cases = []
    for channels, dtype, nhwc in layers:
        order = "channels_last" if nhwc else "contiguous"
        picture = torch.empty(1, channels, 512, 512, device="meta")
        like = picture.contiguous(memory_format=torch.channels_last) if nhwc else picture
        tile = _tile(rows(like, like))
        cases += [
            case(f"{name}, {channels} channels, {dtype}, {order}", kernel, dtype, nhwc, tile)
            for name, kernel in (*passes, ("gradient", differentiate_kernel))
        ]
    for width in (2, 6, 48):
        cases += [
            case(f"{name}, groups of {width} channels", kernel, "bf16", True, _parts_of_group(width))
            for name, kernel in (("combine", combine_kernel), ("total", total_kernel))
        ]
    for width, pixels, dtype, nhwc in ((16, 256, "bf16", True), (6, 1024, "bf16", True), (2, 4096, "fp32", False)):
        order = "channels_last" if nhwc else "contiguous"
        cases += [
            case(f"{name}, {width} channels of {pixels} pixels, {dtype}, {order}", kernel, dtype, nhwc, whole)
            for name, kernel in (("whole group", group_kernel), ("gradient of it", group_gradient_kernel))
            for whole in (_whole(width, pixels),)
        ]
    return cases
