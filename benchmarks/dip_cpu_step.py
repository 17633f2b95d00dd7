"""A step of Deep Image Prior on the CPU against a straightforward module, and how much of it is convolution.

    python -m benchmarks.dip_cpu_step        # prints a table, writes benchmarks/results/dip_cpu_step.json

Each rival lives in a process of its own, for the library changes how its process allocates; they take turns, step by
step. The share of convolution is that of the operators' own time, by torch.profiler.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.report import FORMAT, RESULTS, environment, save
from benchmarks.straightforward import COMPILED, EAGER, NHWC, OURS, steps
from fastsr.consistency import Downscale
from fastsr.device import resolve_dtype
from fastsr.dip.fit import fit
from fastsr.dip.network import HourglassConfig
from fastsr.dip.recipes import Recipe, upscale

FACTOR = 8
SIDES = (256, 512)
RECIPES = {
    "paper": upscale("paper", FACTOR),
    "narrower": Recipe(HourglassConfig(channels=(64, 128, 128, 128, 128)), steps=1),
}
"""Both with Adam, as the straightforward module."""
OURS_COMPILED = f"{OURS}, torch.compile"
RIVALS = (EAGER, NHWC, COMPILED, OURS, OURS_COMPILED)
ROUNDS = 5
STEPS = 1000
"""More than are ever done."""
WARM_UP = 2

_step: Callable[[], object]


def prepare(rival: str, name: str, side: int, threads: int, cache: str) -> None:
    """Build a rival in this process, which does nothing else; what it compiles goes to the folder `cache`."""
    global _step
    torch.set_num_threads(threads)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
    recipe = replace(RECIPES[name], steps=STEPS)
    dtype = resolve_dtype(None, torch.device("cpu"))
    if rival == OURS_COMPILED:
        _compile_network()
    if rival in (OURS, OURS_COMPILED):
        small = side // FACTOR
        observation = torch.rand(1, 3, small, small, generator=torch.Generator().manual_seed(0))
        states = fit(observation, Downscale((side, side), (small, small)), (side, side), recipe, seed=0, dtype=dtype)
        _step = states.__next__
    else:
        _step = steps(recipe, side, FACTOR, "cpu", dtype, nhwc=rival != EAGER, compiled=rival == COMPILED)


def _compile_network() -> None:
    """Have the fits of this process compile the network, which the library does not."""
    fits = sys.modules[fit.__module__]
    build = fits.build

    def built_and_compiled(*arguments: Any) -> torch.nn.Module:
        network: torch.nn.Module = build(*arguments)
        network.compile()
        return network

    fits.build = built_and_compiled  # type: ignore[attr-defined]


def seconds() -> float:
    """Do a step."""
    start = time.perf_counter()
    _step()
    return time.perf_counter() - start


def convolution_share() -> float:
    """Do a step, and return how much of the operators' time is that of convolutions."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        _step()
    times = [(event.key, event.self_cpu_time_total) for event in profiled.key_averages()]
    return sum(spent for key, spent in times if "convolution" in key) / sum(spent for _, spent in times)


def measure(name: str, side: int, rivals: tuple[str, ...] = RIVALS, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Return a row for each rival."""
    spawn = multiprocessing.get_context("spawn")  # a forked process would inherit threads that do not run in it
    with ExitStack() as stack:
        processes = {}
        for rival in rivals:
            # An empty cache for each: what a user's first call pays is a compilation.
            cache = stack.enter_context(tempfile.TemporaryDirectory())
            arguments = rival, name, side, torch.get_num_threads(), cache
            process = ProcessPoolExecutor(1, spawn, initializer=prepare, initargs=arguments)
            processes[rival] = stack.enter_context(process)
        first = {rival: process.submit(seconds).result() for rival, process in processes.items()}
        times: dict[str, list[float]] = {rival: [] for rival in rivals}
        for turn in range(WARM_UP + rounds):
            for rival, process in processes.items():
                spent = process.submit(seconds).result()
                if turn >= WARM_UP:
                    times[rival].append(spent)
        rows = []
        for rival, process in processes.items():
            # The operators of a compiled step are one, by the profiler.
            share = None if rival in (COMPILED, OURS_COMPILED) else process.submit(convolution_share).result()
            rows.append(
                {
                    "recipe": name,
                    "side": side,
                    "rival": rival,
                    "seconds_per_step": median(times[rival]),
                    "fastest": min(times[rival]),
                    "slowest": max(times[rival]),
                    "seconds_of_first_step": first[rival],
                    "convolution_share": share,
                }
            )
        return rows


def line(row: dict[str, Any], compared: dict[str, Any]) -> str:
    """Return a row of the table; `compared` is the straightforward module's."""
    share = "-" if row["convolution_share"] is None else f"{row['convolution_share']:.0%}"
    ratio = compared["seconds_per_step"] / row["seconds_per_step"]
    return (
        f"| {row['recipe']} | {row['side']} | {row['rival']} | {row['seconds_per_step']:.3f} "
        f"| {row['fastest']:.3f} to {row['slowest']:.3f} | {ratio:.2f} | {share} | {row['seconds_of_first_step']:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS / "dip_cpu_step.json", help="default: %(default)s")
    options = parser.parse_args()
    print("| recipe | side | rival | seconds a step | spread | times faster | convolution | first step, s |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for side in SIDES:
        for name in RECIPES:
            measured = measure(name, side)
            rows += measured
            for row in measured:
                print(line(row, measured[0]), flush=True)
    save(options.out, {"format": FORMAT, **environment(torch.device("cpu")), "rows": rows})


if __name__ == "__main__":
    main()
