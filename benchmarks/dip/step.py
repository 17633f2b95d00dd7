"""Time a step of `fastsr.dip` against a straightforward module, eager and compiled.

    python -m benchmarks.dip.step                   # CPU: a table, and benchmarks/results/dip_cpu_step.json
    python -m benchmarks.dip.step --device cuda     # as the item dip-step of the GPU queue

On the CPU each rival has a process of its own, because the library changes how its process allocates memory; they take
turns, step by step. The share of convolutions is that of the operators' own time, by torch.profiler. On a GPU the time
of a step of the library is the difference between a long and a short call over the steps between them: what users wait
for. There the straightforward module uses Adam for both presets; the library's fast preset uses Muon, which does more.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

import fastsr
from benchmarks.baselines import DIP_COMPILED, DIP_EAGER, DIP_NHWC, DIP_OURS, plain_dip_steps
from benchmarks.harness import processes
from benchmarks.report import FORMAT, RESULTS, command_parser, environment, save
from fastsr.dip.fit import fit
from fastsr.dip.network import HourglassConfig
from fastsr.dip.options import Preset
from fastsr.dip.recipes import Recipe, upscale
from fastsr.operators import Downscale
from fastsr.runtime.device import resolve_dtype

FACTOR = 8
SIDES = (256, 512)
RECIPES = {
    "paper": upscale("paper", FACTOR),
    "narrower": Recipe(HourglassConfig(channels=(64, 128, 128, 128, 128)), steps=1),
}
"""Both with Adam, as the straightforward module."""
OURS_COMPILED = f"{DIP_OURS}, torch.compile"
RIVALS = (DIP_EAGER, DIP_NHWC, DIP_COMPILED, DIP_OURS, OURS_COMPILED)
ROUNDS = 5
STEPS = 1000
"""More than are ever done."""
WARM_UP = 2

_step: Callable[[], object]


def prepare(rival: str, name: str, side: int, threads: int, cache: str) -> None:
    """Build a rival in this process, which does nothing else.

    What it compiles goes to a folder of its own in `cache`, which is empty: a user's first call pays a compilation.
    """
    global _step
    torch.set_num_threads(threads)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(cache, str(RIVALS.index(rival))))
    recipe = replace(RECIPES[name], steps=STEPS)
    dtype = resolve_dtype(None, torch.device("cpu"))
    if rival == OURS_COMPILED:
        _compile_network()
    if rival in (DIP_OURS, OURS_COMPILED):
        small = side // FACTOR
        observation = torch.rand(1, 3, small, small, generator=torch.Generator().manual_seed(0))
        states = fit(observation, Downscale((side, side), (small, small)), (side, side), recipe, seed=0, dtype=dtype)
        _step = states.__next__
    else:
        _step = plain_dip_steps(
            recipe, side, FACTOR, "cpu", dtype, nhwc=rival != DIP_EAGER, compiled=rival == DIP_COMPILED
        )


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
    with (
        tempfile.TemporaryDirectory() as cache,
        processes(rivals, prepare, name, side, torch.get_num_threads(), cache) as running,
    ):
        first = {rival: process.submit(seconds).result() for rival, process in running.items()}
        times: dict[str, list[float]] = {rival: [] for rival in rivals}
        for turn in range(WARM_UP + rounds):
            for rival, process in running.items():
                spent = process.submit(seconds).result()
                if turn >= WARM_UP:
                    times[rival].append(spent)
        rows = []
        for rival, process in running.items():
            # The operators of a compiled step are one, by the profiler.
            share = None if rival in (DIP_COMPILED, OURS_COMPILED) else process.submit(convolution_share).result()
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


TARGETS: dict[Preset, tuple[float, float]] = {"paper": (2.0, 10.0), "fast": (0.8, 1.0)}
"""Preset -> the milliseconds a step, and the seconds a whole call, that a 512x512 result may take on an H200."""
REPEATS = 3
STRAIGHTFORWARD_STEPS = 50


def run(
    device: str = "cuda", side: int = 512, counts: tuple[int, int] = (20, 220), timed: bool = True
) -> dict[str, Any]:
    """Fit each preset to a random picture, for a result of `side` x `side` pixels.

    Raises:
        ArithmeticError: the fit is no better after the long call than after its first step.
    """
    picture = torch.rand(3, side // FACTOR, side // FACTOR, generator=torch.Generator().manual_seed(0))
    rows = []
    for preset, (target, target_of_call) in TARGETS.items():
        recipe = upscale(preset, FACTOR)
        row: dict[str, Any] = {"preset": preset, "side": side, "rival": DIP_OURS, "counts": counts}
        row["psnr_of_fit"] = _check(picture, preset, counts[1], device)
        if timed:
            pairs = [[_seconds(picture, preset, count, device) for count in counts] for _ in range(REPEATS)]
            step = median(long - short for short, long in pairs) / (counts[1] - counts[0])
            row["milliseconds_per_step"] = step * 1e3
            row["target_milliseconds"], row["target_seconds_of_whole_call"] = target, target_of_call
            row["seconds_besides"] = median(short for short, _ in pairs) - counts[0] * step
            row["seconds_of_whole_call"] = _seconds(picture, preset, recipe.steps, device)
            row["met"] = step * 1e3 < target and row["seconds_of_whole_call"] < target_of_call
            print(
                f"{preset}, {side}x{side}: {step * 1e3:.2f} ms a step (target {target} ms), "
                f"{row['seconds_of_whole_call']:.2f} s for all {recipe.steps} (target {target_of_call} s): "
                f"{'met' if row['met'] else 'MISSED'}",
                flush=True,
            )
        rows.append(row)
        for rival in (DIP_EAGER, DIP_NHWC, DIP_COMPILED):
            rows.append({"preset": preset, "side": side, "rival": rival})
            rows[-1] |= _straightforward(rival, recipe, device, side, timed)
    return {"rows": rows}


def _check(picture: torch.Tensor, preset: Preset, count: int, device: str) -> float:
    """Return the PSNR of the fit after `count` steps; also what warms up the device."""
    psnr: list[float] = []
    fastsr.dip(
        picture,
        FACTOR,
        preset=preset,
        steps=count,
        device=device,
        progress=False,
        callback=lambda step, image, info: psnr.append(info.psnr),
    )
    if not psnr[-1] > psnr[0]:
        raise ArithmeticError(f"{preset}: the fit went from {psnr[0]:.2f} to {psnr[-1]:.2f} dB in {count} steps")
    return psnr[-1]


def _seconds(picture: torch.Tensor, preset: Preset, count: int, device: str) -> float:
    """The seconds of a call; its result lies on the CPU, so that the device has finished."""
    start = time.perf_counter()
    fastsr.dip(picture, FACTOR, preset=preset, steps=count, device=device, progress=False)
    return time.perf_counter() - start


def _straightforward(rival: str, recipe: Recipe, device: str, side: int, timed: bool) -> dict[str, float]:
    """The time of a step of the straightforward module, and that of the first, compilation included."""
    step = plain_dip_steps(
        recipe, side, FACTOR, device, torch.bfloat16, nhwc=rival != DIP_EAGER, compiled=timed and rival == DIP_COMPILED
    )
    start = time.perf_counter()
    loss = float(step())
    first = time.perf_counter() - start
    for _ in range(15):
        step()
    if not float(step()) < loss:
        raise ArithmeticError(f"{rival}: the loss did not fall from {loss:.4f}")
    if not timed:
        return {}
    start = time.perf_counter()
    for _ in range(STRAIGHTFORWARD_STEPS):
        last = step()
    float(last)  # waits for the device
    milliseconds = (time.perf_counter() - start) / STRAIGHTFORWARD_STEPS * 1e3
    print(f"  {rival}: {milliseconds:.2f} ms a step, {first:.1f} s for the first", flush=True)
    return {"milliseconds_per_step": milliseconds, "seconds_of_first_step": first}


def main() -> None:
    """Measure on one device; the rows measured on the CPU are kept."""
    parser = command_parser(__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default=RESULTS / "dip_cpu_step.json", help="where the CPU's rows go; default: %(default)s"
    )
    options = parser.parse_args()
    if options.device == "cuda":
        run()
        return
    print("| recipe | side | rival | seconds per step | range | speed-up | convolution | first step, s |")
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
