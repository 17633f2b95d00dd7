"""How long a call takes, and how fast memory is, on a GPU or a CPU."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

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
