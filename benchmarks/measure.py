"""One piece of work and the rivals that can do it: each is checked, and then timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.timing import copy_bandwidth, matrix_rate, sets_needed, time_calls

Call = Callable[..., Tensor]
Check = Callable[..., float]

EAGER, COMPILED = "torch, one after the other", "torch.compile"
"""What torch's own functions are called among the rivals."""


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
    flops: int = 0
    """Operations of its matrix products, a multiplication and an addition being two; 0 where memory is the limit."""
    labels: dict[str, Any] = field(default_factory=dict)
    """What else the rows are to say of the case."""


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
    teraflops: float | None = None
    of_matrix: float | None = None
    """The operations a second over those of a large product of bfloat16 matrices, measured in the same run."""
    labels: dict[str, Any] = field(default_factory=dict)


def measure(cases: list[Case], device: torch.device, timed: bool) -> dict[str, Any]:
    """Check every rival of every case, time it if `timed`, and return what JSON can hold.

    Raises:
        ArithmeticError: a result is wrong.
    """
    bandwidth = copy_bandwidth(device) if timed else None
    rate = matrix_rate(device) if timed and any(case.flops for case in cases) else None
    rows = []
    for case in cases:
        sets = [case.inputs() for _ in range(sets_needed(case.bytes, device) if timed else 1)]
        for rival, (call, check) in case.rivals.items():
            excess = check(call(*sets[0]), *sets[0])
            if not excess <= 1:
                raise ArithmeticError(f"{case.name}, {rival}: the error is {excess:.3g} times what is allowed")
            row = Row(case.name, rival, excess, case.bytes, labels=case.labels)
            if bandwidth is not None:
                row = _timed(row, [partial(call, *inputs) for inputs in sets], device, bandwidth, case.flops, rate)
                print(_line(row), flush=True)
            rows.append(row)
    return {
        "copy_gigabytes_per_second": bandwidth and bandwidth / 1e9,
        "matrix_teraflops": rate and rate / 1e12,
        "rows": [asdict(row) for row in rows],
    }


def _timed(
    row: Row,
    calls: list[Callable[[], Tensor]],
    device: torch.device,
    bandwidth: float,
    flops: int,
    rate: float | None,
) -> Row:
    timing = time_calls(calls, device)
    achieved = row.bytes / timing.median
    return replace(
        row,
        microseconds=timing.median * 1e6,
        percentile_20=timing.low * 1e6,
        percentile_80=timing.high * 1e6,
        gigabytes_per_second=achieved / 1e9,
        of_copy=achieved / bandwidth,
        teraflops=flops / timing.median / 1e12 if flops else None,
        of_matrix=flops / timing.median / rate if flops and rate else None,
    )


def _line(row: Row) -> str:
    matrix = "" if row.of_matrix is None else f", {row.teraflops:>6.1f} TFLOP/s, {row.of_matrix:>4.0%} of a product"
    return (
        f"{row.case:<56} {row.rival:<32} {row.microseconds:>10.1f} us "
        f"{row.gigabytes_per_second:>8.1f} GB/s, {row.of_copy:>4.0%} of a copy{matrix}"
    )


def agrees_with(reference: Call, allowed: float = 1e-5, device: str = "cpu") -> Check:
    """Return a check against `reference` in float64 on `device`; rivals that share it make the reference once."""
    known: dict[tuple[int, ...], Tensor] = {}

    def check(result: Tensor, *inputs: Tensor) -> float:
        key = tuple(x.data_ptr() for x in inputs)
        if key not in known:
            known.clear()
            known[key] = reference(*(x.to(device).double() for x in inputs))
        return relative_error(result, known[key]) / allowed

    return check


def relative_error(result: Tensor, expected: Tensor) -> float:
    """Return the norm of the difference over that of what is expected."""
    difference = result.detach().to(expected.device).double() - expected
    return float(torch.linalg.vector_norm(difference) / torch.linalg.vector_norm(expected))


def excess_of_moments(n: Tensor) -> float:
    """Return how far mean and variance are from those of normal numbers, over 5 of their standard errors."""
    return max(abs(float(n.mean())), abs(float(n.var()) - 1) / 2**0.5) * n.numel() ** 0.5 / 5


def random(
    device: torch.device, dtype: torch.dtype, memory_format: torch.memory_format, *shapes: tuple[int, ...]
) -> tuple[Tensor, ...]:
    """Return normal numbers of each of the shapes."""
    return tuple(
        torch.randn(shape, device=device, dtype=dtype).contiguous(memory_format=memory_format) for shape in shapes
    )
