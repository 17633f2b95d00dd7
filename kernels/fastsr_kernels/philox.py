"""The standard normal numbers of the noise ops: functions of (seed, step, element), with nothing to store.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) turns the counter (i // 4, step)
and the key `seed`, all 64 bits wide, into four 32-bit words (w0, w1, w2, w3); Box-Muller turns each pair of words
(a, b) into two normals r cos(t) and r sin(t) with r = sqrt(-2 ln((a + 1/2) / 2^32)) and t = 2 pi b / 2^32. Elements 4k
to 4k + 3 are the pair of (w0, w1), then that of (w2, w3). |n| is at most 6.8.

Two streams exist, and `stream` says which one a seed names on a device:

- "philox": the one above, on GPUs and wherever ``impl`` is "triton" or "torch". Its integers are the same everywhere;
  the normals agree to float32 rounding (on NVIDIA GPUs to that of the fast hardware log2, sin and cos).
- "mt19937": torch's own CPU generator, seeded from (seed, step); what ``impl="auto"`` uses on the CPU, where it is
  several times faster (``python -m benchmarks.kernels noise`` times both). There element i depends on the number
  of elements too.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .backend import choose, jit, no_override, tl, triton

if triton is not None:
    from triton.language.extra import libdevice

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
WORD = 0xFFFFFFFF


def stream(x: Tensor, impl: str | None = None) -> str:
    """Return "philox" or "mt19937": the numbers that the noise ops draw for a tensor like `x`."""
    return "mt19937" if implementation(x, impl) == "generator" else "philox"


def implementation(x: Tensor, impl: str | None) -> str:
    """Return "triton", "torch" or "generator" (torch's own): what draws the noise for a tensor like `x`."""
    chosen = choose(x, impl)
    left_to_us = impl in (None, "auto") and no_override()
    return "generator" if left_to_us and x.device.type == "cpu" else chosen


# The definition, in plain torch


def philox4x32(counter: tuple[Tensor, ...], key: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the four words that Philox4x32-10 makes of a counter of four words and a key of two (int64, 0 to 2^32)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        # A product of two words may overflow int64 into the sign: its low 64 bits, which are all that is read, hold.
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> 32 & WORD) ^ c1 ^ k0, p1 & WORD, (p0 >> 32 & WORD) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return c0, c1, c2, c3


def philox_normals(count: int, seed: Tensor, step: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return n_0 to n_{count - 1} of the "philox" stream of each seed, computed in `dtype`.

    Args:
        count: how many.
        seed: int64, of any shape.
        step: int64, without dimensions, on the device of `seed`.
        dtype: float32 or float64.

    Returns:
        (..., count): the shape of `seed`, and the numbers of each; on its device.
    """
    seed = seed.unsqueeze(-1)
    groups = torch.arange((count + 3) // 4, device=seed.device)
    words = philox4x32((groups & WORD, groups >> 32, step & WORD, step >> 32 & WORD), (seed & WORD, seed >> 32 & WORD))
    normals = []
    for a, b in (words[:2], words[2:]):
        radius = torch.sqrt(-2 * torch.log(a.to(dtype) * 2.0**-32 + 2.0**-33))
        angle = b.to(dtype) * (math.pi * 2.0**-31)
        normals += [radius * torch.cos(angle), radius * torch.sin(angle)]
    return torch.stack(normals, dim=-1).flatten(-2)[..., :count]


def generator_seed(seed: int, step: int) -> int:
    """Return the 32-bit seed (MT19937 takes no more) of torch's generator for (seed, step).

    Steps from 0 to 2^32 of a seed have different ones, for `mix` is one to one: the finaliser of MurmurHash3.
    """

    def mix(word: int) -> int:
        word = (word ^ word >> 16) * 0x85EBCA6B & WORD
        word = (word ^ word >> 13) * 0xC2B2AE35 & WORD
        return word ^ word >> 16

    state = 0
    for word in (seed & WORD, seed >> 32 & WORD, step >> 32 & WORD):
        state = mix(state ^ word)
    return mix((state + step) & WORD)


# The device functions of the kernels


@jit
def triton_philox4x32(
    c0: tl.tensor, c1: tl.tensor, c2: tl.tensor, c3: tl.tensor, k0: tl.tensor, k1: tl.tensor
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Return the four words of Philox4x32-10; all arguments are uint32."""
    for _ in tl.static_range(10):
        # The widening product is one instruction on sm_80 to sm_100; a high and a low one, as in `tl.philox`, are two.
        p0 = c0.to(tl.uint64) * 0xD2511F53
        p1 = c2.to(tl.uint64) * 0xCD9E8D57
        c0 = (p1 >> 32).to(tl.uint32) ^ c1 ^ k0
        c1 = p1.to(tl.uint32)
        c2 = (p0 >> 32).to(tl.uint32) ^ c3 ^ k1
        c3 = p0.to(tl.uint32)
        k0 = tl.add(k0, 0x9E3779B9, sanitize_overflow=False)
        k1 = tl.add(k1, 0xBB67AE85, sanitize_overflow=False)
    return c0, c1, c2, c3


@jit
def _box_muller(a: tl.tensor, b: tl.tensor, FAST: tl.constexpr) -> tuple[tl.tensor, tl.tensor]:
    uniform = a.to(tl.float32) * 2.3283064365386963e-10 + 1.1641532182693481e-10  # (a + 1/2) / 2^32
    # Taken as signed, the same angle lies within half a turn, where the fast sin and cos are at their best.
    angle = b.to(tl.int32, bitcast=True).to(tl.float32) * 1.4629180792671596e-09  # pi / 2^31
    if FAST:
        # Next to 1 the fast log2 may err to a positive value: abs costs nothing and keeps the root real.
        radius = tl.sqrt(tl.abs(libdevice.fast_log2f(uniform)) * 1.3862943611198906)  # 2 ln 2
        return radius * libdevice.fast_cosf(angle), radius * libdevice.fast_sinf(angle)
    else:
        radius = tl.sqrt(tl.abs(tl.log2(uniform)) * 1.3862943611198906)
        return radius * tl.cos(angle), radius * tl.sin(angle)


@jit
def four_normals(
    low: tl.tensor, high: tl.tensor, seed: tl.tensor, step: tl.tensor, FAST: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Return normals 4k to 4k + 3, the 64-bit k given by its words; seed and step are int64 or pointers to integers."""
    if seed.dtype.is_ptr():
        seed = tl.load(seed)
    if step.dtype.is_ptr():
        step = tl.load(step)
    seed = seed.to(tl.uint64)
    step = step.to(tl.uint64)
    w0, w1, w2, w3 = triton_philox4x32(
        low, high, step.to(tl.uint32), (step >> 32).to(tl.uint32), seed.to(tl.uint32), (seed >> 32).to(tl.uint32)
    )
    n0, n1 = _box_muller(w0, w1, FAST)
    n2, n3 = _box_muller(w2, w3, FAST)
    return n0, n1, n2, n3
