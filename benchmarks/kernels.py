"""Microbenchmarks of the kernels against what PyTorch offers: ``python -m benchmarks.kernels [noise] [resample]``.

No speed is reported of a call whose result is wrong. On a machine without a GPU the same calls are timed on the CPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.timing import copy_bandwidth, sets_needed, time_calls
from fastsr_kernels.noise import add_noise, philox_normals, stream
from fastsr_kernels.resample import axis_table, resample

Call = Callable[..., Tensor]
Check = Callable[..., float]
SEED, STEP, SIGMA = 3, 4, 1.0
FACTOR = 8


@dataclass(frozen=True)
class Case:
    """One piece of work and the rivals that can do it."""

    name: str
    bytes: int
    """What must be read and written at least."""
    inputs: Callable[[], tuple[Tensor, ...]]
    """Makes a fresh set of arguments."""
    rivals: dict[str, tuple[Call, Check]]
    """Name -> the call, and what checks it: from the output and the inputs to its error over what is allowed."""


@dataclass(frozen=True)
class Row:
    """What was measured of one rival; the times are None where nothing was timed."""

    case: str
    rival: str
    excess: float
    """The error over what is allowed: at most 1."""
    bytes: int
    microseconds: float | None = None
    percentile_20: float | None = None
    percentile_80: float | None = None
    gigabytes_per_second: float | None = None
    of_copy: float | None = None
    """The bandwidth over that of a copy, measured in the same run."""


def measure(cases: list[Case], device: torch.device, timed: bool) -> dict[str, Any]:
    """Check every rival of every case, time it if `timed`, and return what JSON can hold.

    Raises:
        ArithmeticError: a result is wrong.
    """
    bandwidth = copy_bandwidth(device) if timed else None
    rows = []
    for case in cases:
        sets = [case.inputs() for _ in range(sets_needed(case.bytes, device) if timed else 1)]
        for rival, (call, check) in case.rivals.items():
            excess = check(call(*sets[0]), *sets[0])
            if not excess <= 1:
                raise ArithmeticError(f"{case.name}, {rival}: the error is {excess:.3g} times what is allowed")
            row = Row(case.name, rival, excess, case.bytes)
            if bandwidth is not None:
                row = _timed(row, [partial(call, *inputs) for inputs in sets], device, bandwidth)
                print(_line(row), flush=True)
            rows.append(row)
    return {"copy_gigabytes_per_second": bandwidth and bandwidth / 1e9, "rows": [asdict(row) for row in rows]}


def _timed(row: Row, calls: list[Callable[[], Tensor]], device: torch.device, bandwidth: float) -> Row:
    timing = time_calls(calls, device)
    achieved = row.bytes / timing.median
    return Row(
        row.case,
        row.rival,
        row.excess,
        row.bytes,
        microseconds=timing.median * 1e6,
        percentile_20=timing.low * 1e6,
        percentile_80=timing.high * 1e6,
        gigabytes_per_second=achieved / 1e9,
        of_copy=achieved / bandwidth,
    )


def _line(row: Row) -> str:
    return (
        f"{row.case:<56} {row.rival:<32} {row.microseconds:>10.1f} us "
        f"{row.gigabytes_per_second:>8.1f} GB/s, {row.of_copy:>4.0%} of a copy"
    )


def noise_cases(device: torch.device, smoke: bool) -> Iterator[Case]:
    """z + sigma * n on the input of Deep Image Prior at 512x512."""
    shape = (1, 32, 16, 16) if smoke else (1, 32, 512, 512)
    step = torch.tensor(STEP, device=device)
    for name, dtype, memory_format, allowed in [
        ("float32", torch.float32, torch.contiguous_format, 1e-5),
        ("float32, channels_last", torch.float32, torch.channels_last, 1e-5),
        ("bfloat16", torch.bfloat16, torch.contiguous_format, 1e-2),
        ("bfloat16, channels_last", torch.bfloat16, torch.channels_last, 1e-2),
    ]:
        inputs = partial(_random, device, dtype, memory_format, shape)
        (z,) = inputs()
        is_philox = partial(_is_philox, allowed)
        rivals: dict[str, tuple[Call, Check]] = {
            "add_noise": (
                lambda z: add_noise(z, SIGMA, SEED, step),
                is_philox if stream(z) == "philox" else _is_normal,
            ),
            "z + sigma * randn_like": (lambda z: z + SIGMA * torch.randn_like(z), _is_normal),
            "add_noise, torch": (lambda z: add_noise(z, SIGMA, SEED, step, impl="torch"), is_philox),
        }
        yield Case(f"noise, {'x'.join(map(str, shape))}, {name}", 2 * z.nbytes, inputs, rivals)


def _is_philox(allowed: float, result: Tensor, z: Tensor) -> float:
    return _relative_error(result, z.double().cpu() + SIGMA * _definition(z.numel()).view(z.shape)) / allowed


@cache
def _definition(count: int) -> Tensor:
    return philox_normals(count, torch.tensor(SEED), torch.tensor(STEP), torch.float64)


def _is_normal(result: Tensor, z: Tensor) -> float:
    """Mean and variance of what was added, over 5 of their standard errors."""
    n = (result.float() - z.float()) / SIGMA
    return max(abs(float(n.mean())), abs(float(n.var()) - 1) / 2**0.5) * n.numel() ** 0.5 / 5


def resample_cases(device: torch.device, smoke: bool) -> Iterator[Case]:
    """The downsampler of Deep Image Prior at x8, and its gradient."""
    torch.backends.cudnn.allow_tf32 = False  # every rival is asked for a float32 result
    for batch, side in ((1, 48), (2, 64)) if smoke else ((1, 512), (16, 1024)):
        small = side // FACTOR
        table = axis_table(side, small, kernel="lanczos2", border="replicate")
        inner = table.dense()[small // 2]
        taps = inner[inner != 0]
        kernel = taps.outer(taps).expand(3, 1, -1, -1).to(device, torch.float32)
        ours = partial(resample, rows=table, columns=table)
        convolve = partial(_pad_and_convolve, kernel=kernel, pad=(len(taps) - FACTOR) // 2)
        interpolate = partial(F.interpolate, size=(small, small), mode="bicubic", antialias=True)

        shapes = (batch, 3, side, side), (batch, 3, small, small)
        inputs = partial(_random, device, torch.float32, torch.contiguous_format, *shapes)
        traffic = sum(x.nbytes for x in inputs())
        for name, count, use in (("resample", traffic, _forward), ("resample, gradient", 2 * traffic, _gradient)):
            yield Case(
                f"{name}, {batch}x3x{side}x{side} to {small}x{small}, float32",
                count,
                inputs,
                {
                    "resample": (use(ours), _agrees_with(use(ours))),
                    "pad + conv2d": (use(convolve), _agrees_with(use(ours))),
                    "bicubic interpolate(antialias)": (use(interpolate), _agrees_with(use(interpolate))),
                },
            )


def _pad_and_convolve(x: Tensor, kernel: Tensor, pad: int) -> Tensor:
    return F.conv2d(F.pad(x, (pad,) * 4, mode="replicate"), kernel, stride=FACTOR, groups=3)


def _forward(function: Call) -> Call:
    return lambda x, gradient: function(x)


def _gradient(function: Call) -> Call:
    """Forward and backward: the result is the gradient for x."""

    def call(x: Tensor, gradient: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(function(x), x, gradient)[0]

    return call


def _agrees_with(reference: Call, allowed: float = 1e-5) -> Check:
    """A check against `reference` in float64 on the CPU."""
    return lambda result, *inputs: _relative_error(result, reference(*(x.double().cpu() for x in inputs))) / allowed


def _relative_error(result: Tensor, expected: Tensor) -> float:
    difference = result.detach().double().cpu() - expected
    return float(torch.linalg.vector_norm(difference) / torch.linalg.vector_norm(expected))


def _random(
    device: torch.device, dtype: torch.dtype, memory_format: torch.memory_format, *shapes: tuple[int, ...]
) -> tuple[Tensor, ...]:
    return tuple(
        torch.randn(shape, device=device, dtype=dtype).contiguous(memory_format=memory_format) for shape in shapes
    )


CASES = {"noise": noise_cases, "resample": resample_cases}


def run(op: str, device: torch.device, smoke: bool = False) -> dict[str, Any]:
    """Measure one op; with `smoke`, check every call on small inputs and time none."""
    return measure(list(CASES[op](device, smoke)), device, timed=not smoke)


def noise() -> dict[str, Any]:
    """The noise op on the GPU, for the queue."""
    return run("noise", torch.device("cuda"))


def resample_op() -> dict[str, Any]:
    """The resample op on the GPU, for the queue."""
    return run("resample", torch.device("cuda"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("op", nargs="*", choices=[*CASES, []], help="which ops (default: all)")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for op in arguments.op or CASES:
        run(op, device)


if __name__ == "__main__":
    main()
