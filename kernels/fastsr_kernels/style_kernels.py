"""The launchers of `style_epilogue`'s kernels.

What the norm sees, the activation of the blurred, shifted and noisy x, is made anew from x wherever it is needed: it
is never in memory. A plane that fits into one program is read once by a kernel that does everything; a larger one
twice, by blocks of pixels. Behind a blur, whose adjoint needs the neighbours of each pixel, the gradient before the
blur is written once more, in float32.

Tensors of pixels are views (N, pixels, C) in which either step is one element.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .backend import AotCase, device_guard, triton
from .channel_statistics import OPTIONS, WARPS, combine, split, total
from .memory import rows
from .style_block_kernels import (
    apply_kernel,
    blur_kernel,
    differentiate_kernel,
    noise_kernel,
    statistics_kernel,
    sums_kernel,
)
from .style_plane_kernels import plane_gradient_kernel, plane_kernel

FITTING = 4096
"""Numbers up to which one program takes whole planes."""
SMALL = 1024
"""Numbers of a program that takes whole planes, where a plane has fewer."""
BLOCK = 1024
"""Numbers that a program takes at a time of larger planes: more, and the neighbours of a blur fill the registers."""
ADJACENT = 16
"""Channels that a program takes at least of whole planes, where the channels are next to each other in memory."""


def launch_forward(
    x: Tensor,
    y: Tensor,
    bias: Tensor,
    style: Tensor,
    noise: Tensor | None,
    noise_weight: Tensor | None,
    blur: bool,
    slope: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Write the result into `y`, dense; return it with mean and 1 / sqrt(variance + eps), (N, C) in float32."""
    columns = x.shape[3]
    x, out = rows(x, y), rows(y, y)
    pictures, pixels, channels = x.shape
    bias, style = bias.contiguous(), style.contiguous()
    noises, noise_stride, flags = _noise(noise, noise_weight, bias, blur)
    sizes = channels, pixels, columns, noise_stride, *x.stride()
    tile = _whole(x)
    with device_guard(x):
        if tile is not None:
            mean, rstd = (x.new_empty(pictures, channels, dtype=torch.float32) for _ in range(2))
            plane_kernel[_planes(x, tile)](
                x, out, bias, style, *noises, mean, rstd, *sizes, *out.stride(), slope, eps, **flags, **tile, **OPTIONS
            )
            return y, mean, rstd
        tile = _blocks(x)
        grid, per_program = _parts(x, tile)
        partial = x.new_empty(grid[0], 2, pictures * channels, dtype=torch.float32)
        statistics_kernel[grid](x, partial, bias, *noises, *sizes, slope, per_program, **flags, **tile, **OPTIONS)
        mean, rstd = (each.view(pictures, channels) for each in combine(partial, pixels, per_program, eps))
        apply_kernel[_grid(x, tile)](
            x, out, bias, style, *noises, mean, rstd, *sizes, *out.stride(), slope, **flags, **tile, **OPTIONS
        )
    return y, mean, rstd


def launch_backward(
    g: Tensor,
    x: Tensor,
    dx: Tensor,
    bias: Tensor,
    style: Tensor,
    noise: Tensor | None,
    noise_weight: Tensor | None,
    mean: Tensor,
    rstd: Tensor,
    blur: bool,
    slope: float,
    sums: bool,
    noise_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Write the gradient for x into `dx`, dense; return it with those of each picture for the others, in float32.

    They are (N, C) for the scale and the shift of the style, (N, C) for bias and noise_weight if there are to be
    `sums`, and (N, pixels) for the noise if its gradient is wanted; else None.
    """
    columns = x.shape[3]
    dp = torch.empty_like(dx, dtype=torch.float32) if blur else dx
    g, x, out = rows(g, dx), rows(x, dx), rows(dp, dx)
    pictures, pixels, channels = x.shape
    bias, style = bias.contiguous(), style.contiguous()
    noises, noise_stride, flags = _noise(noise, noise_weight, bias, blur)
    sizes = channels, pixels, columns, noise_stride, *g.stride(), *x.stride()
    tile = _whole(x)
    with device_guard(x):
        if tile is not None:
            scales, shifts, biases, weights = (torch.empty_like(mean) for _ in range(4))
            plane_gradient_kernel[_planes(x, tile)](
                *(g, x, out, bias, style, *noises, mean, rstd, scales, shifts, biases, weights),
                *(*sizes, *out.stride(), slope),
                SUMS=sums,
                **flags,
                **tile,
                **OPTIONS,
            )
        else:
            tile = _blocks(x)
            grid, per_program = _parts(x, tile)
            partial = x.new_empty(grid[0], 2, pictures * channels, dtype=torch.float32)
            sums_kernel[grid](
                g, x, partial, bias, *noises, mean, rstd, *sizes, slope, per_program, **flags, **tile, **OPTIONS
            )
            scales, shifts = (each.view_as(mean) for each in total(partial))
            differentiate_kernel[grid](
                *(g, x, out, partial, bias, style, *noises, mean, rstd, scales, shifts),
                *(*sizes, *out.stride(), slope, per_program),
                SUMS=sums,
                **flags,
                **tile,
                **OPTIONS,
            )
            if sums:
                weights, biases = (each.view_as(mean) for each in total(partial))
        if blur:
            tile = _blocks(x)
            blur_kernel[_grid(x, tile)](out, rows(dx, dx), channels, pixels, columns, *out.stride(), **tile, **OPTIONS)
        dnoise = None
        if noise_gradient:
            tile = _over_channels(x)
            dnoise = x.new_empty(pictures, pixels, dtype=torch.float32)
            noise_kernel[triton.cdiv(pixels, tile["BLOCK_PIXELS"]), pictures](
                out, noises[1], dnoise, channels, pixels, *out.stride(), **tile, **OPTIONS
            )
    return dx, scales, shifts, biases if sums else None, weights if sums else None, dnoise


def _noise(
    noise: Tensor | None, noise_weight: Tensor | None, bias: Tensor, blur: bool
) -> tuple[tuple[Tensor, Tensor], int, dict[str, bool]]:
    """Return noise and weight, the step between the noises of two pictures, and what the kernels are compiled for."""
    if noise is None or noise_weight is None:  # any pointers: they are not read
        return (bias, bias), 0, {"BLUR": blur, "NOISE": False}
    step = noise[0].numel() if noise.shape[0] > 1 else 0
    return (noise.contiguous(), noise_weight.contiguous()), step, {"BLUR": blur, "NOISE": True}


def _whole(x: Tensor) -> dict[str, int] | None:
    """Return how many planes of `x` (N, pixels, C) a program takes whole; None where it takes none."""
    pixels, channels = (triton.next_power_of_2(size) for size in x.shape[1:])
    block = min(channels, max(ADJACENT if x.stride(2) == 1 else 1, SMALL // pixels))
    return {"BLOCK_PIXELS": pixels, "BLOCK_CHANNELS": block} if pixels * block <= FITTING else None


def _blocks(x: Tensor) -> dict[str, int]:
    """Return how many pixels and channels of `x` (N, pixels, C) a program takes at a time."""
    pixels, channels = (triton.next_power_of_2(size) for size in x.shape[1:])
    if x.stride(2) == 1:
        block = min(channels, 4 * ADJACENT)
        return {"BLOCK_PIXELS": min(pixels, BLOCK // block), "BLOCK_CHANNELS": block}
    block = min(pixels, BLOCK)
    return {"BLOCK_PIXELS": block, "BLOCK_CHANNELS": min(channels, BLOCK // block)}


def _over_channels(x: Tensor) -> dict[str, int]:
    """Return how many pixels and channels of `x` (N, pixels, C) a program takes at a time that sums over channels."""
    pixels, channels = (triton.next_power_of_2(size) for size in x.shape[1:])
    block = min(pixels, BLOCK // 32 if x.stride(2) == 1 else BLOCK // 4)
    return {"BLOCK_PIXELS": block, "BLOCK_CHANNELS": min(channels, BLOCK // block)}


def _planes(x: Tensor, tile: dict[str, int]) -> tuple[int, int]:
    """Return the grid of programs that take whole planes."""
    pictures, _, channels = x.shape
    return triton.cdiv(channels, tile["BLOCK_CHANNELS"]), pictures


def _grid(x: Tensor, tile: dict[str, int]) -> tuple[int, int, int]:
    """Return the grid of programs that take a block of pixels."""
    channel_blocks, pictures = _planes(x, tile)
    return triton.cdiv(x.shape[1], tile["BLOCK_PIXELS"]), channel_blocks, pictures


def _parts(x: Tensor, tile: dict[str, int]) -> tuple[tuple[int, int, int], int]:
    """Return the grid of programs that take several blocks of pixels, and how many pixels each takes."""
    pixels = x.shape[1]
    channel_blocks, pictures = _planes(x, tile)
    _, per_program = split(pictures * channel_blocks * pixels, tile["BLOCK_PIXELS"])
    return (math.ceil(pixels / per_program), channel_blocks, pictures), per_program


def aot_cases() -> list[AotCase]:
    """Return what the launchers launch for layers of StyleGAN behind a blur, for ``python -m benchmarks.aot``."""
    vectors = ("bias", "noise_weight", "mean", "rstd", "partial", "dnoise")
    sums = ("product_sum", "plain_sum", "noise_sum", "bias_sum")
    steps = tuple(f"{tensor}_stride_{axis}" for tensor in "gxy" for axis in "npc")
    lengths = ("channels", "pixels", "width", "noise_stride_n")

    def case(name: str, kernel: Any, x: Tensor, dtype: str, tile: dict[str, int]) -> AotCase:
        order = "channels_last" if x.stride(2) == 1 else "contiguous"
        one = {f"{tensor}_stride_{'c' if order == 'channels_last' else 'p'}": 1 for tensor in "gxy"}
        constants = {"BLUR": True, "NOISE": True, "SUMS": True, **one, **tile}
        signature = {
            **dict.fromkeys(("g", "x", "y", "dx", "style", "noise"), f"*{dtype}"),
            **dict.fromkeys((*vectors, *sums), "*fp32"),
            **dict.fromkeys((*lengths, *steps, "pixels_per_program"), "i32"),
            **dict.fromkeys(("slope", "eps"), "fp32"),
            "dp": "*fp32",
        }
        size = f"{x.shape[2]} channels of {x.shape[1]} pixels"
        return AotCase(
            name=f"{name}, {size}, {dtype}, {order}",
            kernel=kernel,
            signature=signature,
            constants={name: value for name, value in constants.items() if name in kernel.arg_names},
            num_warps=WARPS,
            divisible=tuple(name for name in (*lengths, *steps) if name not in constants),
        )

    layers = (
        (512, 16, "fp32", True),
        (256, 64, "fp32", False),
        (256, 64, "fp32", True),
        (16, 1024, "bf16", False),
    )
    cases = []
    for channels, side, dtype, nhwc in layers:
        order = torch.channels_last if nhwc else torch.contiguous_format
        picture = torch.empty(1, channels, side, side, device="meta", memory_format=order)
        x = rows(picture, picture)
        tile = _whole(x)
        if tile is not None:
            kernels = [("whole planes", plane_kernel), ("gradient of them", plane_gradient_kernel)]
        else:
            tile = _blocks(x)
            kernels = [
                ("statistics", statistics_kernel),
                ("apply", apply_kernel),
                ("sums", sums_kernel),
                ("gradient", differentiate_kernel),
                ("blur", blur_kernel),
            ]
        cases += [case(name, kernel, x, dtype, tile) for name, kernel in kernels]
    return [*cases, case("gradient for noise", noise_kernel, x, dtype, _over_channels(x))]
