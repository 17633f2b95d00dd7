"""Statistics and sums of each channel, combined from the partial results of the programs of a reduction.

The kernels of the norms share them.
"""

from __future__ import annotations

import math

from torch import Tensor

from .backend import device_guard, jit, tl, triton

PROGRAMS = 512
"""Largest number of programs of a reduction: the same on every GPU, so that sums are rounded the same way."""
WARPS = 8
OPTIONS = {"num_warps": WARPS, "enable_fp_fusion": True}
COMBINED_CHANNELS = 16


def split(pixels: int, block: int) -> tuple[int, int]:
    """Return the number of programs for a reduction over `pixels`, and the number of pixels of each."""
    per_program = math.ceil(math.ceil(pixels / block) / PROGRAMS) * block
    return math.ceil(pixels / per_program), per_program


@jit
def merge(
    count: tl.tensor, mean: tl.tensor, m2: tl.tensor, value: tl.tensor, mask: tl.tensor, more: tl.tensor
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Add `more` rows of `value` to a running count, mean and sum of squared deviations (Chan, Golub, LeVeque)."""
    new = tl.sum(tl.where(mask, value, 0.0), axis=0) / more
    deviation = tl.where(mask, value - new[None, :], 0.0)
    delta = new - mean
    total = count + more
    return (
        total,
        mean + delta * (more / total),
        m2 + tl.sum(deviation * deviation, axis=0) + delta * delta * (count * more / total),
    )


@jit
def store_parts(
    partial: tl.tensor,
    first: tl.tensor,
    second: tl.tensor,
    channel: tl.tensor,
    here: tl.tensor,
    channels: tl.tensor,
) -> None:
    """Store two values of each channel as one part of (parts, 2, channels), which begins at `partial`."""
    tl.store(partial + channel, first, mask=here)
    tl.store(partial + channels + channel, second, mask=here)


@jit
def store_sums(
    partial: tl.tensor,
    first: tl.tensor,
    second: tl.tensor,
    channel: tl.tensor,
    here: tl.tensor,
    channels: tl.tensor,
) -> None:
    """Sum two tiles over their pixels, and store the sums with `store_parts`."""
    store_parts(partial, tl.sum(first, axis=0), tl.sum(second, axis=0), channel, here, channels)


@jit
def combine_kernel(
    partial: tl.tensor,
    mean: tl.tensor,
    rstd: tl.tensor,
    channels: tl.tensor,
    programs: tl.tensor,
    samples: tl.tensor,
    samples_per_program: tl.tensor,
    eps: tl.tensor,
    BLOCK_PROGRAMS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Combine the partial results of a statistics kernel: the mean first, then the squared deviations from it."""
    channel = tl.program_id(0) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    program = tl.arange(0, BLOCK_PROGRAMS)
    mask = (program < programs)[:, None] & (channel < channels)[None, :]
    at = partial + program[:, None] * 2 * channels + channel[None, :]
    each = tl.load(at, mask=mask, other=0)
    m2 = tl.load(at + channels, mask=mask, other=0)
    left = samples - program * samples_per_program
    count = tl.maximum(tl.minimum(left, samples_per_program), 0).to(tl.float32)[:, None]
    total = tl.sum(count * each, axis=0) / samples
    deviation = tl.where(mask, each - total[None, :], 0.0)
    variance = tl.sum(m2 + count * deviation * deviation, axis=0) / samples
    tl.store(mean + channel, total, mask=channel < channels)
    tl.store(rstd + channel, 1 / tl.sqrt(variance + eps), mask=channel < channels)


@jit
def total_kernel(
    partial: tl.tensor,
    product: tl.tensor,
    plain: tl.tensor,
    channels: tl.tensor,
    programs: tl.tensor,
    BLOCK_PROGRAMS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Add up the partial results of a sums kernel."""
    channel = tl.program_id(0) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    program = tl.arange(0, BLOCK_PROGRAMS)
    mask = (program < programs)[:, None] & (channel < channels)[None, :]
    at = partial + program[:, None] * 2 * channels + channel[None, :]
    tl.store(product + channel, tl.sum(tl.load(at, mask=mask, other=0), axis=0), mask=channel < channels)
    tl.store(plain + channel, tl.sum(tl.load(at + channels, mask=mask, other=0), axis=0), mask=channel < channels)


def combine(partial: Tensor, samples: int, samples_per_program: int, eps: float) -> tuple[Tensor, Tensor]:
    """Return mean and 1 / sqrt(variance + eps) from the mean and squared deviations of each program."""
    programs, _, channels = partial.shape
    mean, rstd = partial.new_empty(channels), partial.new_empty(channels)
    with device_guard(partial):
        combine_kernel[(triton.cdiv(channels, COMBINED_CHANNELS),)](
            partial,
            mean,
            rstd,
            channels,
            programs,
            samples,
            samples_per_program,
            eps,
            BLOCK_PROGRAMS=triton.next_power_of_2(programs),
            BLOCK_CHANNELS=COMBINED_CHANNELS,
            **OPTIONS,
        )
    return mean, rstd


def total(partial: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums of products and of gradients from the partial sums of the programs."""
    programs, _, channels = partial.shape
    product, plain = partial.new_empty(channels), partial.new_empty(channels)
    with device_guard(partial):
        total_kernel[(triton.cdiv(channels, COMBINED_CHANNELS),)](
            partial,
            product,
            plain,
            channels,
            programs,
            BLOCK_PROGRAMS=triton.next_power_of_2(programs),
            BLOCK_CHANNELS=COMBINED_CHANNELS,
            **OPTIONS,
        )
    return product, plain
