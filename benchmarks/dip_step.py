"""How long a step of `fastsr.dip` takes on a GPU, against a straightforward module, eager and compiled.

The straightforward module's optimiser is Adam for both presets; the library's, for the fast one, is Muon, which does
more. The library's time is the difference of a long and a short call over the steps between them: what users wait for.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch

import fastsr
from benchmarks.straightforward import COMPILED, EAGER, NHWC, OURS, steps
from fastsr.dip.recipes import Recipe, upscale

FACTOR = 8
TARGETS = {"paper": (2.0, 10.0), "fast": (0.8, 1.0)}
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
        row: dict[str, Any] = {"preset": preset, "side": side, "rival": OURS, "counts": counts}
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
        for rival in (EAGER, NHWC, COMPILED):
            rows.append({"preset": preset, "side": side, "rival": rival})
            rows[-1] |= _straightforward(rival, recipe, device, side, timed)
    return {"rows": rows}


def _check(picture: torch.Tensor, preset: str, count: int, device: str) -> float:
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


def _seconds(picture: torch.Tensor, preset: str, count: int, device: str) -> float:
    """The seconds of a call; its result lies on the CPU, so that the device has finished."""
    start = time.perf_counter()
    fastsr.dip(picture, FACTOR, preset=preset, steps=count, device=device, progress=False)
    return time.perf_counter() - start


def _straightforward(rival: str, recipe: Recipe, device: str, side: int, timed: bool) -> dict[str, float]:
    """The time of a step of the straightforward module, and that of the first, compilation included."""
    step = steps(
        recipe, side, FACTOR, device, torch.bfloat16, nhwc=rival != EAGER, compiled=timed and rival == COMPILED
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
