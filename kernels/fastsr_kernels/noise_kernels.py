"""The kernels of the noise ops.

Each op has one kernel for contiguous memory and one for channels_last memory.
"""

from __future__ import annotations

from .backend import jit, tl
from .philox import four_normals

# What an op does to an element, given its noise


@jit
def add_at(z: tl.tensor, out: tl.tensor, offset: tl.tensor, mask: tl.tensor, noise: tl.tensor) -> None:
    """z + noise."""
    tl.store(out + offset, tl.load(z + offset, mask=mask).to(tl.float32) + noise, mask=mask)


@jit
def diffuse_at(
    x: tl.tensor, out: tl.tensor, offset: tl.tensor, mask: tl.tensor, signal: tl.tensor, noise: tl.tensor
) -> None:
    """signal * x + noise."""
    tl.store(out + offset, signal * tl.load(x + offset, mask=mask).to(tl.float32) + noise, mask=mask)


@jit
def load_six(row: tl.tensor) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Return the coefficients of a sample."""
    return (
        tl.load(row),
        tl.load(row + 1),
        tl.load(row + 2),
        tl.load(row + 3),
        tl.load(row + 4),
        tl.load(row + 5),
    )


@jit
def step_at(
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
    """x0 = clamp(k0 x + k1 prediction) and the next state, k2 x + k3 x0 + k4 previous + noise."""
    value = tl.load(x + offset, mask=mask).to(tl.float32)
    clean = k0 * value + k1 * tl.load(prediction + offset, mask=mask).to(tl.float32)
    # NaN is neither above nor below, and stays.
    clean = tl.where(clean > clip, clip, tl.where(clean < -clip, -clip, clean))
    following = k2 * value + k3 * clean + noise
    if previous is not None:
        following += k4 * tl.load(previous + offset, mask=mask).to(tl.float32)
    tl.store(x_next + offset, following, mask=mask)
    tl.store(x0 + offset, clean, mask=mask)


# Contiguous memory: a program computes BLOCK elements in the order of their numbers


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
def add_contiguous(
    z: tl.tensor,
    out: tl.tensor,
    sigma: tl.tensor,
    seed: tl.tensor,
    step: tl.tensor,
    numel: tl.tensor,
    BLOCK: tl.constexpr,
    FAST: tl.constexpr,
) -> None:
    """z + sigma * n."""
    first = tl.program_id(0).to(tl.int64) * BLOCK
    n = _block_of_normals(first, seed, step, BLOCK, FAST)
    offset = _block_of_offsets(BLOCK)
    add_at(z + first, out + first, offset, offset < numel - first, sigma * n)


@jit(do_not_specialize=["step"])
def diffuse_contiguous(
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
    """signal * x + noise * n, by sample."""
    sample = (tl.program_id(0) // blocks).to(tl.int64)
    first = (tl.program_id(0) % blocks).to(tl.int64) * BLOCK
    n = _block_of_normals(first, seeds + sample, step, BLOCK, FAST)
    offset = _block_of_offsets(BLOCK)
    at = sample * size + first
    diffuse_at(x + at, out + at, offset, offset < size - first, tl.load(signal + sample), tl.load(noise + sample) * n)


@jit(do_not_specialize=["step", "row"])
def reverse_contiguous(
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
    """The next state of a sampler, and x0, by sample."""
    sample = (tl.program_id(0) // blocks).to(tl.int64)
    first = (tl.program_id(0) % blocks).to(tl.int64) * BLOCK
    k0, k1, k2, k3, k4, k5 = load_six(coefficients + sample * row)
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
    step_at(x, prediction, previous, x_next, x0, offset, mask, k0, k1, k2, k3, k4, clip, n)


# Channels-last memory: (batch, pixels, channels). Elements are numbered as (batch, channels, pixels), or as
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
