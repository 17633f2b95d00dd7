"""What benchmarks share: checked and timed rivals, the time of a step, processes, memory, and PSNR."""

from __future__ import annotations

import gc
import math
import multiprocessing
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

import fastsr

QUANTILES = (0.5, 0.2, 0.8)
CPU_ROUNDS = 7
COPIED_BYTES = 2**30
MATRIX_SIDE = 8192


@dataclass(frozen=True)
class Timing:
    """Seconds a call takes: the median, the 20th and the 80th percentile."""

    median: float
    low: float
    high: float


def sets_needed(bytes_per_call: int, device: torch.device) -> int:
    """Return how many calls, each on its own memory, it takes until nothing of the first is left in the L2 cache."""
    if device.type != "cuda":
        return 2
    cache = torch.cuda.get_device_properties(device).L2_cache_size
    return min(max(math.ceil(4 * cache / bytes_per_call), 2), 128)


def time_calls(calls: Sequence[Callable[[], object]], device: torch.device) -> Timing:
    """Time one call, given several that do the same work on different memory.

    On a GPU all of them are captured in one graph, so that neither launches nor Python are timed; their outputs are
    kept, so that each call writes to memory of its own. CUDA events then time the replays.
    """
    if device.type != "cuda":
        return _time_on_cpu(calls)
    from triton.testing import do_bench

    aside = torch.cuda.Stream(device)
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        for _ in range(3):
            for call in calls:
                call()
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = [call() for call in calls]
    milliseconds = do_bench(graph.replay, warmup=50, rep=300, quantiles=list(QUANTILES))
    del kept
    return Timing(*(value * 1e-3 / len(calls) for value in milliseconds))


def _time_on_cpu(calls: Sequence[Callable[[], object]]) -> Timing:
    for call in calls:
        call()
    return _timing([_seconds(call) for _ in range(CPU_ROUNDS) for call in calls])


def time_in_turns(rivals: Mapping[str, Callable[[], object]]) -> dict[str, Timing]:
    """Time calls on the CPU in turns, so that what slows the machine for a while slows all of them."""
    for call in rivals.values():
        call()
    rounds = [{name: _seconds(call) for name, call in rivals.items()} for _ in range(CPU_ROUNDS)]
    return {name: _timing([times[name] for times in rounds]) for name in rivals}


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _timing(seconds: list[float]) -> Timing:
    return Timing(*(float(value) for value in np.quantile(seconds, QUANTILES)))


def copy_bandwidth(device: torch.device) -> float:
    """Return the bytes a second that a large copy within the device's memory reads and writes, the two added."""
    source = torch.randn(COPIED_BYTES // 4, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / time_calls([lambda: target.copy_(source)], device).median


def matrix_rate(device: torch.device) -> float:
    """Return the operations a second of a large product of bfloat16 matrices."""
    side = MATRIX_SIDE if device.type == "cuda" else MATRIX_SIDE // 8
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / time_calls([lambda: a @ b], device).median


Call = Callable[..., Tensor]
Check = Callable[..., float]

TORCH, TORCH_COMPILED = "torch, one after the other", "torch.compile"
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
                row = _time_row(row, [partial(call, *inputs) for inputs in sets], device, bandwidth, case.flops, rate)
                print(_line(row), flush=True)
            rows.append(row)
    return {
        "copy_gigabytes_per_second": bandwidth and bandwidth / 1e9,
        "matrix_teraflops": rate and rate / 1e12,
        "rows": [asdict(row) for row in rows],
    }


def _time_row(
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


def compiled(function: Call, smoke: bool) -> Call:
    """Return the function compiled by torch for each shape; with `smoke` as it is."""
    result: Call = function if smoke else torch.compile(function, dynamic=False)
    return result


def forward(function: Call) -> Call:
    """Return a call of the function that ignores its last input, the gradient for the result."""
    return lambda *tensors: function(*tensors[:-1])


def forward_and_backward(function: Call, wanted: Sequence[int]) -> Call:
    """Return a call of the function and its backward pass, given the inputs and the gradient for the result.

    Args:
        function: maps tensors to a tensor.
        wanted: the inputs whose gradients are computed; the gradient for the first of them is what is returned.
    """

    def call(*tensors: Tensor) -> Tensor:
        xs = [x.detach().requires_grad_(index in wanted) for index, x in enumerate(tensors[:-1])]
        return torch.autograd.grad(function(*xs), [xs[index] for index in wanted], tensors[-1])[0]

    return call


def normal_tensors(
    device: torch.device, dtype: torch.dtype, memory_format: torch.memory_format, *shapes: tuple[int, ...]
) -> tuple[Tensor, ...]:
    """Return normal numbers of each of the shapes."""
    return tuple(
        torch.randn(shape, device=device, dtype=dtype).contiguous(memory_format=memory_format) for shape in shapes
    )


EAGER = "straightforward module"
EAGER_BF16 = "straightforward module, bfloat16 by autocast"
COMPILED = "straightforward module, torch.compile"
COMPILED_BF16 = "straightforward module, bfloat16 by autocast, torch.compile"
OURS_FLOAT32 = "fastsr, float32"
OURS = "fastsr, bfloat16"
RIVALS = (EAGER, COMPILED, EAGER_BF16, COMPILED_BF16, OURS_FLOAT32, OURS)
WARM_UP = {"cpu": 1, "cuda": 5}
"""Steps that are not timed."""


def time_steps(turns: Generator[None, None, None], device: torch.device, count: int) -> dict[str, float]:
    """Return the median, the least and the most seconds of `count` steps, each of which is a turn."""
    taken = []
    for number in range(WARM_UP[device.type] + count):
        start = time.perf_counter()
        next(turns)
        if device.type == "cuda":
            torch.cuda.synchronize()
        if number >= WARM_UP[device.type]:
            taken.append(time.perf_counter() - start)
    turns.close()
    gc.collect()
    return {"seconds": median(taken), "fastest": min(taken), "slowest": max(taken)}


def step_table(rows: list[dict[str, Any]], title: str, label: Callable[[int], str]) -> str:
    """Return the rows as a Markdown table, each beside the straightforward module for the same side.

    Args:
        rows: with "side", "rival" and what `timed` gives.
        title: of the first column.
        label: what it says of a side.
    """
    plain = {row["side"]: row["seconds"] for row in rows if row["rival"] == EAGER}
    lines = [f"| {title} | | seconds per step | range | speed-up |", "|---|---|---|---|---|"]
    for row in rows:
        side = row["side"]
        ratio = f"{plain[side] / row['seconds']:.2f}" if side in plain else ""
        lines.append(
            f"| {label(side)} | {row['rival']} | {row['seconds']:.4g} "
            f"| {row['fastest']:.4g} to {row['slowest']:.4g} | {ratio} |"
        )
    return "\n".join(lines)


def reset_peak_bytes() -> int:
    """Forget the peak so far; return the bytes in use now."""
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak of the resident memory to what it is now
    return peak_bytes()


@contextmanager
def processes(
    names: Sequence[str], initializer: Callable[..., None], *arguments: object
) -> Iterator[dict[str, ProcessPoolExecutor]]:
    """Yield for each rival a process of its own, spawned, in which `initializer(name, *arguments)` has been called."""
    spawn = multiprocessing.get_context("spawn")  # a forked process would inherit threads that do not run in it
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                ProcessPoolExecutor(1, spawn, initializer=initializer, initargs=(name, *arguments))
            )
            for name in names
        }


def peak_bytes() -> int:
    """Return the most bytes that this process had in memory since `reset_peak_bytes`, or since it began."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def psnr(a: Any, b: Any, **protocol: Any) -> float:
    """Return the PSNR in dB of one picture against another; see `fastsr.metrics.psnr`."""
    value = fastsr.metrics.psnr(a, b, **protocol)
    assert isinstance(value, float)
    return value
