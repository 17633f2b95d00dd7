"""Kernels of the noise ops for contiguous memory: a program makes BLOCK elements in the order of their numbers."""

from __future__ import annotations

from .backend import jit, tl
from .noise_element_kernels import add_at, diffuse_at, load_six, step_at
from .philox import four_normals


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
