"""The Triton kernels of `noise`, and what launches them.

Each op has one kernel for contiguous memory and one for channels_last. A program makes BLOCK elements, the normals
four at a time, as the definition draws them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .backend import AotCase, device_guard, interpreted, jit, tl, triton
from .philox import four_normals

__all__ = ["aot_cases", "launch_add_noise", "launch_diffuse", "launch_reverse_step", "memory_format"]

BLOCK = 2048
"""Elements a program; a power of two, so that the high word of the counter is one number a program."""
LARGEST_CHANNEL_BLOCK = 128


# Contiguous memory


@jit
def _block_of_normals(
    first: tl.tensor, seed: tl.tensor, step: tl.tensor, BLOCK: tl.constexpr, FAST: tl.constexpr
) -> tl.tensor:
    """Return the BLOCK normals from `first`, a multiple of BLOCK, in the shape of `_block_of_offsets`."""
    group = (first // 4).to(tl.uint64)
    lane = tl.arange(0, BLOCK // 4)
    n0, n1, n2, n3 = four_normals(
        group.to(tl.uint32) + lane.to(tl.uint32), (group >> 32).to(tl.uint32), seed, step, FAST
    )
    # Four normals side by side, as one thread computes them: it reads and writes them at once, without a shuffle.
    return tl.reshape(tl.join(tl.join(n0, n2), tl.join(n1, n3)), [BLOCK // 4, 4])


@jit
def _block_of_offsets(BLOCK: tl.constexpr) -> tl.tensor:
    return tl.arange(0, BLOCK // 4)[:, None] * 4 + tl.arange(0, 4)[None, :]


@jit(do_not_specialize=["seed", "step"])
def _add_contiguous(
    z: tl.tensor,
    out: tl.tensor,
    sigma: tl.tensor,
    seed: tl.tensor,
    step: tl.tensor,
    numel: tl.tensor,
    BLOCK: tl.constexpr,
    FAST: tl.constexpr,
) -> None:
    first = tl.program_id(0).to(tl.int64) * BLOCK
    n = _block_of_normals(first, seed, step, BLOCK, FAST)
    offset = _block_of_offsets(BLOCK)
    _add_at(z + first, out + first, offset, offset < numel - first, sigma * n)


@jit(do_not_specialize=["step"])
def _diffuse_contiguous(
    x: tl.tensor,
    out: tl.tensor,
    signal: tl.tensor,
    noise: tl.tensor,
    seeds: tl.tensor,
    step: tl.tensor,
    size: tl.tensor,
    blocks: tl.tensor,
    BLOCK: tl.constexpr,
    FAST: tl.constexpr,
) -> None:
    sample = (tl.program_id(0) // blocks).to(tl.int64)
    first = (tl.program_id(0) % blocks).to(tl.int64) * BLOCK
    n = _block_of_normals(first, seeds + sample, step, BLOCK, FAST)
    offset = _block_of_offsets(BLOCK)
    at = sample * size + first
    _diffuse_at(x + at, out + at, offset, offset < size - first, tl.load(signal + sample), tl.load(noise + sample) * n)


@jit(do_not_specialize=["step", "row"])
def _reverse_contiguous(
    x: tl.tensor,
    prediction: tl.tensor,
    previous: tl.tensor,
    x_next: tl.tensor,
    x0: tl.tensor,
    coefficients: tl.tensor,
    row: tl.tensor,
    clip: tl.tensor,
    seeds: tl.tensor,
    step: tl.tensor,
    size: tl.tensor,
    blocks: tl.tensor,
    BLOCK: tl.constexpr,
    FAST: tl.constexpr,
) -> None:
    sample = (tl.program_id(0) // blocks).to(tl.int64)
    first = (tl.program_id(0) % blocks).to(tl.int64) * BLOCK
    k0, k1, k2, k3, k4, k5 = _load_six(coefficients + sample * row)
    n = tl.zeros([BLOCK // 4, 4], tl.float32)
    if k5 != 0:
        n = k5 * _block_of_normals(first, seeds + sample, step, BLOCK, FAST)
    offset = _block_of_offsets(BLOCK)
    at = sample * size + first
    x += at
    prediction += at
    x_next += at
    x0 += at
    if previous is not None:
        previous += at
    mask = offset < size - first
    _step_at(x, prediction, previous, x_next, x0, offset, mask, k0, k1, k2, k3, k4, clip, n)


# What is done to an element


@jit
def _add_at(z: tl.tensor, out: tl.tensor, offset: tl.tensor, mask: tl.tensor, noise: tl.tensor) -> None:
    tl.store(out + offset, tl.load(z + offset, mask=mask).to(tl.float32) + noise, mask=mask)


@jit
def _diffuse_at(
    x: tl.tensor, out: tl.tensor, offset: tl.tensor, mask: tl.tensor, signal: tl.tensor, noise: tl.tensor
) -> None:
    tl.store(out + offset, signal * tl.load(x + offset, mask=mask).to(tl.float32) + noise, mask=mask)


@jit
def _load_six(row: tl.tensor) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    return (
        tl.load(row),
        tl.load(row + 1),
        tl.load(row + 2),
        tl.load(row + 3),
        tl.load(row + 4),
        tl.load(row + 5),
    )


@jit
def _step_at(
    x: tl.tensor,
    prediction: tl.tensor,
    previous: tl.tensor,
    x_next: tl.tensor,
    x0: tl.tensor,
    offset: tl.tensor,
    mask: tl.tensor,
    k0: tl.tensor,
    k1: tl.tensor,
    k2: tl.tensor,
    k3: tl.tensor,
    k4: tl.tensor,
    clip: tl.tensor,
    noise: tl.tensor,
) -> None:
    value = tl.load(x + offset, mask=mask).to(tl.float32)
    clean = k0 * value + k1 * tl.load(prediction + offset, mask=mask).to(tl.float32)
    # NaN is neither above nor below, and stays.
    clean = tl.where(clean > clip, clip, tl.where(clean < -clip, -clip, clean))
    following = k2 * value + k3 * clean + noise
    if previous is not None:
        following += k4 * tl.load(previous + offset, mask=mask).to(tl.float32)
    tl.store(x_next + offset, following, mask=mask)
    tl.store(x0 + offset, clean, mask=mask)


# channels_last: memory is (batch, pixels, channels), the elements are numbered as (batch, channels, pixels), or as
# (channels, pixels) within a sample. A group of four numbers lies along the pixels. Unless 4 divides their count
# (ALIGNED), a group may reach over both ends of its channel's row; each row then masks its own part.


@jit
def _tile_of_normals(
    start: tl.tensor,
    first: tl.tensor,
    seed: tl.tensor,
    step: tl.tensor,
    BLOCK_GROUPS: tl.constexpr,
    FAST: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Return the normals of BLOCK_GROUPS groups from group `first` of each channel, whose numbers begin at `start`."""
    k = (start // 4 + first + tl.arange(0, BLOCK_GROUPS)[:, None]).to(tl.uint64)
    return four_normals(k.to(tl.uint32), (k >> 32).to(tl.uint32), seed, step, FAST)


@jit
def _tile_of_offsets(
    start: tl.tensor,
    first: tl.tensor,
    channel: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    BLOCK_GROUPS: tl.constexpr,
    ALIGNED: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Return where the first element of each group lies, from pixel 4 `first`, and which of its four there are."""
    pixel = tl.arange(0, BLOCK_GROUPS)[:, None] * 4
    if not ALIGNED:
        pixel -= (start % 4).to(tl.int32)
    # Cut to what `pixel` can be, they and the comparisons fit into an int32.
    low = tl.maximum(-4 * first, -4).to(tl.int32)
    high = tl.minimum(pixels - 4 * first, 4 * BLOCK_GROUPS).to(tl.int32)
    here = channel < channels
    return (
        pixel * channels + channel,
        here & (pixel >= low) & (pixel < high),
        here & (pixel + 1 >= low) & (pixel + 1 < high),
        here & (pixel + 2 >= low) & (pixel + 2 < high),
        here & (pixel + 3 < high),  # pixel is at least low - 3
    )


@jit(do_not_specialize=["seed", "step"])
def _add_channels_last(
    z: tl.tensor,
    out: tl.tensor,
    sigma: tl.tensor,
    seed: tl.tensor,
    step: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    group_blocks: tl.tensor,
    BLOCK_GROUPS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
    ALIGNED: tl.constexpr,
    FAST: tl.constexpr,
) -> None:
    batch = (tl.program_id(0) // group_blocks).to(tl.int64)
    first = (tl.program_id(0) % group_blocks).to(tl.int64) * BLOCK_GROUPS
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)[None, :]
    start = (batch * channels + channel) * pixels
    n0, n1, n2, n3 = _tile_of_normals(start, first, seed, step, BLOCK_GROUPS, FAST)
    offset, m0, m1, m2, m3 = _tile_of_offsets(start, first, channel, channels, pixels, BLOCK_GROUPS, ALIGNED)
    z += batch * channels * pixels + 4 * first * channels
    out += batch * channels * pixels + 4 * first * channels
    _add_at(z, out, offset, m0, sigma * n0)
    _add_at(z, out, offset + channels, m1, sigma * n1)
    _add_at(z, out, offset + 2 * channels, m2, sigma * n2)
    _add_at(z, out, offset + 3 * channels, m3, sigma * n3)


@jit(do_not_specialize=["step"])
def _diffuse_channels_last(
    x: tl.tensor,
    out: tl.tensor,
    signal: tl.tensor,
    noise: tl.tensor,
    seeds: tl.tensor,
    step: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    group_blocks: tl.tensor,
    BLOCK_GROUPS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
    ALIGNED: tl.constexpr,
    FAST: tl.constexpr,
) -> None:
    sample = (tl.program_id(0) // group_blocks).to(tl.int64)
    first = (tl.program_id(0) % group_blocks).to(tl.int64) * BLOCK_GROUPS
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)[None, :]
    start = channel.to(tl.int64) * pixels
    n0, n1, n2, n3 = _tile_of_normals(start, first, seeds + sample, step, BLOCK_GROUPS, FAST)
    offset, m0, m1, m2, m3 = _tile_of_offsets(start, first, channel, channels, pixels, BLOCK_GROUPS, ALIGNED)
    x += sample * channels * pixels + 4 * first * channels
    out += sample * channels * pixels + 4 * first * channels
    a = tl.load(signal + sample)
    b = tl.load(noise + sample)
    _diffuse_at(x, out, offset, m0, a, b * n0)
    _diffuse_at(x, out, offset + channels, m1, a, b * n1)
    _diffuse_at(x, out, offset + 2 * channels, m2, a, b * n2)
    _diffuse_at(x, out, offset + 3 * channels, m3, a, b * n3)


@jit(do_not_specialize=["step", "row"])
def _reverse_channels_last(
    x: tl.tensor,
    prediction: tl.tensor,
    previous: tl.tensor,
    x_next: tl.tensor,
    x0: tl.tensor,
    coefficients: tl.tensor,
    row: tl.tensor,
    clip: tl.tensor,
    seeds: tl.tensor,
    step: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    group_blocks: tl.tensor,
    BLOCK_GROUPS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
    ALIGNED: tl.constexpr,
    FAST: tl.constexpr,
) -> None:
    sample = (tl.program_id(0) // group_blocks).to(tl.int64)
    first = (tl.program_id(0) % group_blocks).to(tl.int64) * BLOCK_GROUPS
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)[None, :]
    start = channel.to(tl.int64) * pixels
    k0, k1, k2, k3, k4, k5 = _load_six(coefficients + sample * row)
    n0 = tl.zeros([BLOCK_GROUPS, BLOCK_CHANNELS], tl.float32)
    n1, n2, n3 = n0, n0, n0
    if k5 != 0:
        n0, n1, n2, n3 = _tile_of_normals(start, first, seeds + sample, step, BLOCK_GROUPS, FAST)
    offset, m0, m1, m2, m3 = _tile_of_offsets(start, first, channel, channels, pixels, BLOCK_GROUPS, ALIGNED)
    at = sample * channels * pixels + 4 * first * channels
    x += at
    prediction += at
    x_next += at
    x0 += at
    if previous is not None:
        previous += at
    _step_at(x, prediction, previous, x_next, x0, offset, m0, k0, k1, k2, k3, k4, clip, k5 * n0)
    _step_at(x, prediction, previous, x_next, x0, offset + channels, m1, k0, k1, k2, k3, k4, clip, k5 * n1)
    _step_at(x, prediction, previous, x_next, x0, offset + 2 * channels, m2, k0, k1, k2, k3, k4, clip, k5 * n2)
    _step_at(x, prediction, previous, x_next, x0, offset + 3 * channels, m3, k0, k1, k2, k3, k4, clip, k5 * n3)


# The launchers


def memory_format(x: Tensor) -> torch.memory_format:
    """Return the format of results like `x`: channels_last, or contiguous."""
    if x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


def launch_add_noise(z: Tensor, out: Tensor, sigma: float, seed: int | Tensor, step: int | Tensor) -> None:
    """Write z + sigma * n to `out`, which has the format of results like `z`."""
    if memory_format(z) == torch.channels_last:
        _launch(_add_channels_last, _channels_last_grid(z), z, out, sigma, seed, step)
    else:
        grid = _Grid((triton.cdiv(z.numel(), BLOCK),), (z.numel(),), {"BLOCK": BLOCK})
        _launch(_add_contiguous, grid, z.contiguous(), out, sigma, seed, step)


def launch_diffuse(x: Tensor, out: Tensor, signal: Tensor, noise: Tensor, seeds: Tensor, step: int | Tensor) -> None:
    """Write signal * x + noise * n to `out`, which has the format of results like `x`."""
    arguments = signal.contiguous(), noise.contiguous(), seeds.contiguous(), step
    if memory_format(x) == torch.channels_last:
        _launch(_diffuse_channels_last, _channels_last_grid(x), x, out, *arguments)
    else:
        _launch(_diffuse_contiguous, _contiguous_grid(x), x.contiguous(), out, *arguments)


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
        _launch(_reverse_channels_last, _channels_last_grid(x), *arguments)
    else:
        _launch(_reverse_contiguous, _contiguous_grid(x), *arguments)


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
        *_aot_cases("add_noise, contiguous, step from the host", _add_contiguous, contiguous, "fp32", "i64"),
        *_aot_cases("add_noise, contiguous, step from the device", _add_contiguous, contiguous, "fp32"),
        *_aot_cases("add_noise, contiguous, step from the device", _add_contiguous, contiguous, "bf16"),
        *_aot_cases("add_noise, channels_last, step from the host", _add_channels_last, layer, "fp32", "i64"),
        *_aot_cases("add_noise, channels_last, step from the device", _add_channels_last, layer, "bf16"),
        *_aot_cases("add_noise, channels_last, sides odd", _add_channels_last, odd, "fp16", "i64"),
        *_aot_cases("diffuse, contiguous, step from the host", _diffuse_contiguous, contiguous, "fp32", "i64"),
        *_aot_cases("diffuse, contiguous, step from the device", _diffuse_contiguous, contiguous, "bf16"),
        *_aot_cases("diffuse, channels_last", _diffuse_channels_last, picture, "fp32"),
        *_aot_cases("diffuse, channels_last, sides odd", _diffuse_channels_last, odd, "fp16"),
        *_aot_cases("reverse_step, contiguous", _reverse_contiguous, {**contiguous, "previous": None}, "fp32"),
        *_aot_cases("reverse_step with previous, contiguous", _reverse_contiguous, contiguous, "fp32"),
        *_aot_cases("reverse_step, channels_last", _reverse_channels_last, {**picture, "previous": None}, "fp32"),
        *_aot_cases("reverse_step with previous, channels_last", _reverse_channels_last, picture, "fp32"),
        *_aot_cases("reverse_step with previous, sides odd", _reverse_channels_last, odd, "fp32", "i64"),
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
