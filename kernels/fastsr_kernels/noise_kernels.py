"""The launchers of `noise`'s kernels.

Each op has one kernel for contiguous memory and one for channels_last. A program makes BLOCK elements, the normals
four at a time, as the definition draws them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .backend import AotCase, device_guard, interpreted, triton
from .noise_channels_last_kernels import add_channels_last, diffuse_channels_last, reverse_channels_last
from .noise_contiguous_kernels import add_contiguous, diffuse_contiguous, reverse_contiguous

__all__ = ["aot_cases", "launch_add_noise", "launch_diffuse", "launch_reverse_step", "memory_format"]

BLOCK = 2048
"""Elements a program; a power of two, so that the high word of the counter is one number a program."""
LARGEST_CHANNEL_BLOCK = 128


def memory_format(x: Tensor) -> torch.memory_format:
    """Return the format of results like `x`: channels_last, or contiguous."""
    if x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


def launch_add_noise(z: Tensor, out: Tensor, sigma: float, seed: int | Tensor, step: int | Tensor) -> None:
    """Write z + sigma * n to `out`, which has the format of results like `z`."""
    if memory_format(z) == torch.channels_last:
        _launch(add_channels_last, _channels_last_grid(z), z, out, sigma, seed, step)
    else:
        grid = _Grid((triton.cdiv(z.numel(), BLOCK),), (z.numel(),), {"BLOCK": BLOCK})
        _launch(add_contiguous, grid, z.contiguous(), out, sigma, seed, step)


def launch_diffuse(x: Tensor, out: Tensor, signal: Tensor, noise: Tensor, seeds: Tensor, step: int | Tensor) -> None:
    """Write signal * x + noise * n to `out`, which has the format of results like `x`."""
    arguments = signal.contiguous(), noise.contiguous(), seeds.contiguous(), step
    if memory_format(x) == torch.channels_last:
        _launch(diffuse_channels_last, _channels_last_grid(x), x, out, *arguments)
    else:
        _launch(diffuse_contiguous, _contiguous_grid(x), x.contiguous(), out, *arguments)


def launch_reverse_step(
    x: Tensor,
    prediction: Tensor,
    previous: Tensor | None,
    x_next: Tensor,
    x0: Tensor,
    coefficients: Tensor,
    seeds: Tensor,
    step: int | Tensor,
    clip: float,
) -> None:
    """Write the next state and x0 to `x_next` and `x0`, which have the format of results like `x`.

    `coefficients` is (B, 6), of any strides.
    """
    layout = memory_format(x)
    read = [None if tensor is None else tensor.contiguous(memory_format=layout) for tensor in (x, prediction, previous)]
    if coefficients.stride(1) != 1:
        coefficients = coefficients.contiguous()
    arguments = *read, x_next, x0, coefficients, coefficients.stride(0), clip, seeds.contiguous(), step
    if layout == torch.channels_last:
        _launch(reverse_channels_last, _channels_last_grid(x), *arguments)
    else:
        _launch(reverse_contiguous, _contiguous_grid(x), *arguments)


class _Grid(NamedTuple):
    programs: tuple[int, ...]
    sizes: tuple[int, ...]
    """The last of the arguments at run time."""
    blocks: dict[str, int | bool]
    """The arguments at compile time."""


def _launch(kernel: Any, grid: _Grid, *arguments: Any) -> None:
    fast = torch.version.hip is None and not interpreted()
    with device_guard(arguments[0]):
        kernel[grid.programs](*arguments, *grid.sizes, **grid.blocks, FAST=fast, num_warps=4, enable_fp_fusion=True)


def _contiguous_grid(x: Tensor) -> _Grid:
    """Return the grid of a kernel that takes the samples one by one."""
    size = x.numel() // x.shape[0]
    blocks = triton.cdiv(size, BLOCK)
    return _Grid((x.shape[0] * blocks,), (size, blocks), {"BLOCK": BLOCK})


def _channels_last_grid(x: Tensor) -> _Grid:
    channels, pixels = x.shape[1], x.shape[2] * x.shape[3]
    blocks = _channels_last_blocks(channels, pixels)
    # A row that starts within a group has its last element at most 3 further on.
    groups = pixels // 4 if blocks["ALIGNED"] else (pixels + 6) // 4
    group_blocks = triton.cdiv(groups, blocks["BLOCK_GROUPS"])
    programs = x.shape[0] * group_blocks, triton.cdiv(channels, blocks["BLOCK_CHANNELS"])
    return _Grid(programs, (channels, pixels, group_blocks), blocks)


def _channels_last_blocks(channels: int, pixels: int) -> dict[str, int | bool]:
    block = min(triton.next_power_of_2(channels), LARGEST_CHANNEL_BLOCK)
    return {"BLOCK_CHANNELS": block, "BLOCK_GROUPS": BLOCK // 4 // block, "ALIGNED": pixels % 4 == 0}


def aot_cases() -> list[AotCase]:
    """Return what the launchers launch, for ``python -m benchmarks.aot``."""
    contiguous = {"BLOCK": BLOCK}
    layer, odd, picture = (
        _channels_last_blocks(channels, pixels)
        for channels, pixels in ((32, 256 * 256), (3, 255 * 255), (3, 256 * 256))
    )
    return [
        *_aot_cases("add_noise, contiguous, step from the host", add_contiguous, contiguous, "fp32", "i64"),
        *_aot_cases("add_noise, contiguous, step from the device", add_contiguous, contiguous, "fp32"),
        *_aot_cases("add_noise, contiguous, step from the device", add_contiguous, contiguous, "bf16"),
        *_aot_cases("add_noise, channels_last, step from the host", add_channels_last, layer, "fp32", "i64"),
        *_aot_cases("add_noise, channels_last, step from the device", add_channels_last, layer, "bf16"),
        *_aot_cases("add_noise, channels_last, sides odd", add_channels_last, odd, "fp16", "i64"),
        *_aot_cases("diffuse, contiguous, step from the host", diffuse_contiguous, contiguous, "fp32", "i64"),
        *_aot_cases("diffuse, contiguous, step from the device", diffuse_contiguous, contiguous, "bf16"),
        *_aot_cases("diffuse, channels_last", diffuse_channels_last, picture, "fp32"),
        *_aot_cases("diffuse, channels_last, sides odd", diffuse_channels_last, odd, "fp16"),
        *_aot_cases("reverse_step, contiguous", reverse_contiguous, {**contiguous, "previous": None}, "fp32"),
        *_aot_cases("reverse_step with previous, contiguous", reverse_contiguous, contiguous, "fp32"),
        *_aot_cases("reverse_step, channels_last", reverse_channels_last, {**picture, "previous": None}, "fp32"),
        *_aot_cases("reverse_step with previous, channels_last", reverse_channels_last, picture, "fp32"),
        *_aot_cases("reverse_step with previous, sides odd", reverse_channels_last, odd, "fp32", "i64"),
    ]


def _aot_cases(name: str, kernel: Any, constants: dict[str, Any], dtype: str, number: str = "*i64") -> list[AotCase]:
    """Return a launch on NVIDIA's GPUs and one on AMD's; what a network predicts is in bfloat16."""
    images = dict.fromkeys(("z", "x", "out", "previous", "x_next", "x0"), f"*{dtype}")
    samples = {**dict.fromkeys(("signal", "noise", "coefficients"), "*fp32"), "seeds": "*i64"}
    sizes = dict.fromkeys(("numel", "size", "channels", "pixels", "group_blocks", "blocks", "row"), "i32")
    numbers = {"sigma": "fp32", "clip": "fp32", "seed": number, "step": number}
    arguments = {**images, "prediction": "*bf16", **samples, **sizes, **numbers}
    divisible = ("numel", "size", "pixels", "group_blocks") if constants.get("ALIGNED", True) else ()
    if constants.get("BLOCK_CHANNELS", 0) >= 16:
        divisible = (*divisible, "channels")
    return [
        AotCase(
            name=f"{name}, {dtype}",
            kernel=kernel,
            signature={
                key: kind for key, kind in arguments.items() if key in kernel.arg_names and key not in constants
            },
            constants={**constants, "FAST": backend == "cuda"},
            divisible=divisible,
            backends=(backend,),
        )
        for backend in ("cuda", "hip")
    ]
