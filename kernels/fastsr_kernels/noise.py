"""Counter-based Gaussian noise: z + sigma * n in one pass over memory, with nothing to store and nothing to seed.

Element i of n is a function of (seed, step, i) alone. Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy
as 1, 2, 3", SC 2011) turns the counter (i // 4, step) and the key `seed`, all 64 bits wide, into four 32-bit words
(w0, w1, w2, w3); Box-Muller turns each pair of words (a, b) into two normals r cos(t) and r sin(t) with
r = sqrt(-2 ln((a + 1/2) / 2^32)) and t = 2 pi b / 2^32. Elements 4k to 4k + 3 are the pair of (w0, w1), then that of
(w2, w3). |n| is at most 6.8.

Two streams exist, and `stream` says which one a seed names on a device:

- "philox": the one above, on GPUs and wherever ``impl`` is "triton" or "torch". Its integers are the same everywhere;
  the normals agree to float32 rounding (on NVIDIA GPUs to that of the fast hardware log2, sin and cos).
- "mt19937": torch's own CPU generator, seeded from (seed, step); what ``impl="auto"`` uses on the CPU, where it is
  several times faster (``python -m benchmarks.kernels noise`` times both). There element i depends on the number
  of elements too.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .backend import LIBRARY, AotCase, choose, device_guard, interpreted, jit, no_override, tl, triton

if triton is not None:
    from triton.language.extra import libdevice

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
WORD = 0xFFFFFFFF

BLOCK = 2048
"""Elements a program; a power of two, so that the high word of the counter is one number a program."""
LARGEST_CHANNEL_BLOCK = 128


# The public op


def add_noise(z: Tensor, sigma: float, seed: int | Tensor, step: int | Tensor, impl: str | None = None) -> Tensor:
    """Return z + sigma * n with n standard normal, a function of (seed, step, element) alone.

    Read `step` (and `seed`) from a device tensor inside a captured CUDA graph: each replay sees the tensor's value of
    that moment, and so draws fresh noise. The same arguments on the same device give bitwise the same result.

    Args:
        z: any shape; float32, float16, bfloat16 or float64. Elements are numbered in the order of `z.flatten()`,
            whatever its strides.
        sigma: standard deviation, finite and not negative.
        seed: names the stream; an int of 64 bits (signed) or an integer tensor of one element on the device of `z`.
        step: names the noise within the stream; like `seed`.
        impl: "auto" (None), "triton" or "torch"; see `stream` for what that means for the numbers. float64 always
            runs a torch implementation.

    Returns:
        A new tensor like `z`; channels_last where `z` is, else contiguous. Computed in float32 (float64 for float64).
        One read and one write of memory. The gradient for `z` is that of the output; nothing is stored for it.

    Raises:
        TypeError, ValueError: an argument that cannot be used, named in the message.
    """
    if z.dtype not in DTYPES:
        raise TypeError(f"z has dtype {z.dtype}; use one of {', '.join(map(str, DTYPES))}")
    sigma = float(sigma)
    if not 0 <= sigma < math.inf:
        raise ValueError(f"sigma={sigma} is not a standard deviation; it must be finite and at least 0")
    return _AddNoise.apply(z, sigma, *_number("seed", seed, z), *_number("step", step, z), _resolve(z, impl))


def stream(z: Tensor, impl: str | None = None) -> str:
    """Return "philox" or "mt19937": the numbers that `add_noise` draws for a tensor like `z`."""
    return "mt19937" if _resolve(z, impl) == "generator" else "philox"


def _resolve(z: Tensor, impl: str | None) -> str:
    chosen = choose(z, impl)
    if z.device.type == "cpu" and impl in (None, "auto") and no_override():
        return "generator"
    return "torch" if z.dtype == torch.float64 else chosen


def _number(name: str, value: int | Tensor, z: Tensor) -> tuple[int, Tensor | None]:
    """Split `value` into the two arguments of the operator: the number, or the tensor that it is read from."""
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
            raise TypeError(f"{name} is a {value.dtype} tensor of shape {tuple(value.shape)}; give one integer")
        if value.device != z.device:
            raise ValueError(f"{name} is on {value.device}, but z is on {z.device}; move it there, or give an int")
        return 0, value
    if isinstance(value, bool) or not isinstance(value, (int, torch.SymInt)):
        raise TypeError(f"{name}={value!r} is not an integer; give an int or an integer tensor of one element")
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{name}={value} does not fit into 64 bits; it must be from -2**63 to 2**63 - 1")
    return value, None


class _AddNoise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, *arguments: Any) -> Tensor:
        return torch.ops.fastsr.add_noise(z, *arguments)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return *gradients, None, None, None, None, None, None


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
    """Return n_0 to n_{count - 1} of the "philox" stream: (count,) on the device of `seed`, computed in `dtype`.

    `seed` and `step` are int64 tensors without dimensions; `dtype` is float32 or float64.
    """
    groups = torch.arange((count + 3) // 4, device=seed.device)
    words = philox4x32((groups & WORD, groups >> 32, step & WORD, step >> 32 & WORD), (seed & WORD, seed >> 32 & WORD))
    normals = []
    for a, b in (words[:2], words[2:]):
        radius = torch.sqrt(-2 * torch.log(a.to(dtype) * 2.0**-32 + 2.0**-33))
        angle = b.to(dtype) * (math.pi * 2.0**-31)
        normals += [radius * torch.cos(angle), radius * torch.sin(angle)]
    return torch.stack(normals, dim=1).flatten()[:count]


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


# The kernels


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
def _four_normals(
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


@jit(do_not_specialize=["seed", "step"])
def _contiguous_kernel(
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
    group = (first // 4).to(tl.uint64)
    lane = tl.arange(0, BLOCK // 4)
    n0, n1, n2, n3 = _four_normals(
        group.to(tl.uint32) + lane.to(tl.uint32), (group >> 32).to(tl.uint32), seed, step, FAST
    )
    # Four normals side by side, as one thread computes them: it reads and writes them at once, without a shuffle.
    n = tl.reshape(tl.join(tl.join(n0, n2), tl.join(n1, n3)), [BLOCK // 4, 4])
    offset = lane[:, None] * 4 + tl.arange(0, 4)[None, :]
    mask = offset < numel - first
    value = tl.load(z + first + offset, mask=mask)
    tl.store(out + first + offset, value.to(tl.float32) + sigma * n, mask=mask)


@jit
def _add_at(z: tl.tensor, out: tl.tensor, offset: tl.tensor, mask: tl.tensor, noise: tl.tensor) -> None:
    tl.store(out + offset, tl.load(z + offset, mask=mask).to(tl.float32) + noise, mask=mask)


@jit(do_not_specialize=["seed", "step"])
def _channels_last_kernel(
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
    """Memory is (batch, pixels, channels), the elements are numbered as (batch, channels, pixels).

    A group of four numbers lies along the pixels. Unless 4 divides their count (ALIGNED), a group may reach over both
    ends of its channel's row; each row then masks its own part.
    """
    batch = (tl.program_id(0) // group_blocks).to(tl.int64)
    first = (tl.program_id(0) % group_blocks).to(tl.int64) * BLOCK_GROUPS
    group = tl.arange(0, BLOCK_GROUPS)[:, None]
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)[None, :]
    start = (batch * channels + channel) * pixels
    k = (start // 4 + first + group).to(tl.uint64)
    n0, n1, n2, n3 = _four_normals(k.to(tl.uint32), (k >> 32).to(tl.uint32), seed, step, FAST)

    pixel = group * 4  # counted from the program's first
    if not ALIGNED:
        pixel -= (start % 4).to(tl.int32)
    low = -4 * first
    high = pixels - 4 * first
    z += batch * channels * pixels + 4 * first * channels
    out += batch * channels * pixels + 4 * first * channels
    offset = pixel * channels + channel
    here = channel < channels
    _add_at(z, out, offset, here & (pixel >= low) & (pixel < high), sigma * n0)
    _add_at(z, out, offset + channels, here & (pixel + 1 >= low) & (pixel + 1 < high), sigma * n1)
    _add_at(z, out, offset + 2 * channels, here & (pixel + 2 >= low) & (pixel + 2 < high), sigma * n2)
    _add_at(z, out, offset + 3 * channels, here & (pixel + 3 < high), sigma * n3)  # pixel is at least low - 3


# The operator


def _memory_format(z: Tensor) -> torch.memory_format:
    if z.dim() == 4 and not z.is_contiguous() and z.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


LIBRARY.define(
    "add_noise(Tensor z, float sigma, SymInt seed, Tensor? seed_from, SymInt step, Tensor? step_from, str impl)"
    " -> Tensor"
)


@torch.library.register_fake("fastsr::add_noise", lib=LIBRARY)
def _fake(z: Tensor, *arguments: Any) -> Tensor:
    return torch.empty_like(z, memory_format=_memory_format(z))


@torch.library.impl("fastsr::add_noise", "CompositeExplicitAutograd", lib=LIBRARY)
def _run(
    z: Tensor, sigma: float, seed: int, seed_from: Tensor | None, step: int, step_from: Tensor | None, impl: str
) -> Tensor:
    out = torch.empty_like(z, memory_format=_memory_format(z))
    if z.numel() == 0:
        return out
    if impl == "triton":
        _launch(z, out, sigma, seed if seed_from is None else seed_from, step if step_from is None else step_from)
        return out
    if impl == "torch":
        dtype = torch.float64 if z.dtype == torch.float64 else torch.float32
        counters = _scalar(seed, seed_from, z.device), _scalar(step, step_from, z.device)
        n = philox_normals(z.numel(), *counters, dtype).view(z.shape)
    else:
        numbers = (seed if seed_from is None else int(seed_from), step if step_from is None else int(step_from))
        generator = torch.Generator().manual_seed(generator_seed(*numbers))
        n = torch.randn(z.shape, generator=generator, dtype=torch.float32)
    return torch.add(z, n, alpha=sigma, out=out)


def _scalar(number: int, tensor: Tensor | None, device: torch.device) -> Tensor:
    # `torch.full` rather than `torch.tensor`: a copy from the host cannot be captured in a graph.
    return torch.full((), number, dtype=torch.int64, device=device) if tensor is None else tensor.long().reshape(())


def _launch(z: Tensor, out: Tensor, sigma: float, seed: int | Tensor, step: int | Tensor) -> None:
    fast = torch.version.hip is None and not interpreted()
    options = {"FAST": fast, "num_warps": 4, "enable_fp_fusion": True}
    with device_guard(z):
        if _memory_format(z) == torch.channels_last:
            batch, channels, pixels = z.shape[0], z.shape[1], z.shape[2] * z.shape[3]
            blocks = _channels_last_blocks(channels, pixels)
            # A row that starts within a group has its last element at most 3 further on.
            groups = pixels // 4 if blocks["ALIGNED"] else (pixels + 6) // 4
            group_blocks = triton.cdiv(groups, blocks["BLOCK_GROUPS"])
            grid = batch * group_blocks, triton.cdiv(channels, blocks["BLOCK_CHANNELS"])
            _channels_last_kernel[grid](z, out, sigma, seed, step, channels, pixels, group_blocks, **blocks, **options)
        else:
            _contiguous_kernel[(triton.cdiv(z.numel(), BLOCK),)](
                z.contiguous(), out, sigma, seed, step, z.numel(), BLOCK=BLOCK, **options
            )


def _channels_last_blocks(channels: int, pixels: int) -> dict[str, int | bool]:
    block = min(triton.next_power_of_2(channels), LARGEST_CHANNEL_BLOCK)
    return {"BLOCK_CHANNELS": block, "BLOCK_GROUPS": BLOCK // 4 // block, "ALIGNED": pixels % 4 == 0}


def aot_cases() -> list[AotCase]:
    """Return what the launcher launches, for ``python -m benchmarks.aot``."""
    sizes = ("channels", "pixels", "group_blocks")
    contiguous = (_contiguous_kernel, ("numel",), ("numel",), {"BLOCK": BLOCK})
    channels_last = (_channels_last_kernel, sizes, sizes, _channels_last_blocks(32, 256 * 256))
    odd = (_channels_last_kernel, sizes, (), _channels_last_blocks(3, 255 * 255))
    launches: list[tuple[str, str, str, tuple[Any, tuple[str, ...], tuple[str, ...], dict[str, Any]]]] = [
        ("contiguous, step from the host", "fp32", "i64", contiguous),
        ("contiguous, step from the device", "fp32", "*i64", contiguous),
        ("contiguous, step from the device", "bf16", "*i64", contiguous),
        ("channels_last, step from the host", "fp32", "i64", channels_last),
        ("channels_last, step from the device", "bf16", "*i64", channels_last),
        ("channels_last, sides odd, step from the host", "fp16", "i64", odd),
    ]
    return [
        AotCase(
            name=f"{name}, {dtype}",
            kernel=kernel,
            signature={
                **{"z": f"*{dtype}", "out": f"*{dtype}", "sigma": "fp32", "seed": number, "step": number},
                **dict.fromkeys(sizes, "i32"),
            },
            constants={**blocks, "FAST": backend == "cuda"},
            divisible=divisible,
            backends=(backend,),
        )
        for name, dtype, number, (kernel, sizes, divisible, blocks) in launches
        for backend in ("cuda", "hip")
    ]
