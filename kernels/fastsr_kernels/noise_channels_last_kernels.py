"""Kernels of the noise ops for channels_last memory.

Memory is (batch, pixels, channels), the elements are numbered as (batch, channels, pixels), or as (channels, pixels)
within a sample. A group of four numbers lies along the pixels. Unless 4 divides their count (ALIGNED), a group may
reach over both ends of its channel's row; each row then masks its own part.
"""

from __future__ import annotations

from .backend import jit, tl
from .noise_element_kernels import add_at, diffuse_at, load_six, step_at
from .philox import four_normals


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
def add_channels_last(
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
    """z + sigma * n."""
    batch = (tl.program_id(0) // group_blocks).to(tl.int64)
    first = (tl.program_id(0) % group_blocks).to(tl.int64) * BLOCK_GROUPS
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)[None, :]
    start = (batch * channels + channel) * pixels
    n0, n1, n2, n3 = _tile_of_normals(start, first, seed, step, BLOCK_GROUPS, FAST)
    offset, m0, m1, m2, m3 = _tile_of_offsets(start, first, channel, channels, pixels, BLOCK_GROUPS, ALIGNED)
    z += batch * channels * pixels + 4 * first * channels
    out += batch * channels * pixels + 4 * first * channels
    add_at(z, out, offset, m0, sigma * n0)
    add_at(z, out, offset + channels, m1, sigma * n1)
    add_at(z, out, offset + 2 * channels, m2, sigma * n2)
    add_at(z, out, offset + 3 * channels, m3, sigma * n3)


@jit(do_not_specialize=["step"])
def diffuse_channels_last(
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
    """signal * x + noise * n, by sample."""
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
    diffuse_at(x, out, offset, m0, a, b * n0)
    diffuse_at(x, out, offset + channels, m1, a, b * n1)
    diffuse_at(x, out, offset + 2 * channels, m2, a, b * n2)
    diffuse_at(x, out, offset + 3 * channels, m3, a, b * n3)


@jit(do_not_specialize=["step", "row"])
def reverse_channels_last(
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
    """The next state of a sampler, and x0, by sample."""
    sample = (tl.program_id(0) // group_blocks).to(tl.int64)
    first = (tl.program_id(0) % group_blocks).to(tl.int64) * BLOCK_GROUPS
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)[None, :]
    start = channel.to(tl.int64) * pixels
    k0, k1, k2, k3, k4, k5 = load_six(coefficients + sample * row)
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
    step_at(x, prediction, previous, x_next, x0, offset, m0, k0, k1, k2, k3, k4, clip, k5 * n0)
    step_at(x, prediction, previous, x_next, x0, offset + channels, m1, k0, k1, k2, k3, k4, clip, k5 * n1)
    step_at(x, prediction, previous, x_next, x0, offset + 2 * channels, m2, k0, k1, k2, k3, k4, clip, k5 * n2)
    step_at(x, prediction, previous, x_next, x0, offset + 3 * channels, m3, k0, k1, k2, k3, k4, clip, k5 * n3)
