"""Bicubic resizing on the CPU against torch's antialiased bicubic: ``python -m benchmarks.resize_cpu``.

A 3x2048x2048 picture in float32, x4 down and x4 up; the two calls of a size take turns in one run. The results are
those of MATLAB; torch's differ from them at the border only. Writes benchmarks/results/resize_cpu.json.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from fastsr.imresize import imresize

from .report import RESULTS, environment, save
from .timing import time_in_turns

SIDE = 2048
SCALES = {"x4 down": 0.25, "x4 up": 4.0}


def measure(name: str, scale: float, side: int) -> dict[str, Any]:
    """Time both calls on a random picture, and compare their results away from the border.

    Raises:
        ArithmeticError: the results differ.
    """
    x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    size = round(scale * side)
    calls = {
        "fastsr": partial(imresize, x, size=(size, size)),
        "torch": partial(F.interpolate, x, (size, size), mode="bicubic", antialias=True),
    }
    edge = round(3 * max(scale, 1))
    ours, theirs = (call()[..., edge:-edge, edge:-edge] for call in calls.values())
    difference = float((ours - theirs).abs().max())
    if not difference < 1e-5:
        raise ArithmeticError(f"{name}: the results differ by {difference:.2g}")
    times = {rival: timing.median * 1e3 for rival, timing in time_in_turns(calls).items()}
    return {"case": name, "side": side, "milliseconds": times, "ratio": times["fastsr"] / times["torch"]}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows = [measure(name, scale, SIDE) for name, scale in SCALES.items()]
    where = environment(torch.device("cpu"))
    save(RESULTS / "resize_cpu.json", {**where, "rows": rows})
    print(f"3x{SIDE}x{SIDE}, float32, {where['threads']} threads\n")
    print("| case | fastsr (ms) | torch (ms) | fastsr / torch |\n|---|---|---|---|")
    for row in rows:
        times = row["milliseconds"]
        print(f"| {row['case']} | {times['fastsr']:.1f} | {times['torch']:.1f} | {row['ratio']:.2f} |")


if __name__ == "__main__":
    main()
