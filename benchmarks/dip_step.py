"""How long a step of `fastsr.dip` takes: the difference of a long and a short call over the steps between them."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch

import fastsr

FACTOR = 8
PRESETS = ("paper", "fast")
REPEATS = 3


def run(
    device: str = "cuda", side: int = 512, steps: tuple[int, int] = (20, 120), timed: bool = True
) -> dict[str, Any]:
    """Fit each preset to a random picture, for a result of `side` x `side` pixels.

    Raises:
        ArithmeticError: the fit is no better after the long call than after its first step.
    """
    picture = torch.rand(3, side // FACTOR, side // FACTOR, generator=torch.Generator().manual_seed(0))
    rows = []
    for preset in PRESETS:
        row: dict[str, Any] = {"preset": preset, "side": side, "steps": steps}
        row["psnr_of_fit"] = _check(picture, preset, steps[1], device)
        if timed:
            pairs = [[_seconds(picture, preset, count, device) for count in steps] for _ in range(REPEATS)]
            step = median(long - short for short, long in pairs) / (steps[1] - steps[0])
            row["milliseconds_per_step"] = step * 1e3
            row["seconds_besides"] = median(short for short, _ in pairs) - steps[0] * step
            print(f"{preset}, {side}x{side}: {step * 1e3:.2f} ms a step", flush=True)
        rows.append(row)
    return {"rows": rows}


def _check(picture: torch.Tensor, preset: str, steps: int, device: str) -> float:
    """Return the PSNR of the fit after `steps`; also what warms up the device."""
    psnr: list[float] = []
    fastsr.dip(
        picture,
        FACTOR,
        preset=preset,
        steps=steps,
        device=device,
        progress=False,
        callback=lambda step, image, info: psnr.append(info.psnr),
    )
    if not psnr[-1] > psnr[0]:
        raise ArithmeticError(f"{preset}: the fit went from {psnr[0]:.2f} to {psnr[-1]:.2f} dB in {steps} steps")
    return psnr[-1]


def _seconds(picture: torch.Tensor, preset: str, steps: int, device: str) -> float:
    """The seconds of a call; its result lies on the CPU, so that the device has finished."""
    start = time.perf_counter()
    fastsr.dip(picture, FACTOR, preset=preset, steps=steps, device=device, progress=False)
    return time.perf_counter() - start
