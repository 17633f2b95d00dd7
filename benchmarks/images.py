"""Time image operations on the CPU: bicubic resizing and NIQE.

    python -m benchmarks.images resize                    # writes benchmarks/results/resize_cpu.json
    FASTSR_DATA=... python -m benchmarks.images niqe      # writes benchmarks/results/niqe_speed.json and docs/niqe.md

resize: a 3x2048x2048 image in float32, x4 down and x4 up, against torch's antialiased bicubic; the two calls take turns
in one run. fastsr's results are those of MATLAB; torch's differ from them at the border only.
niqe: squares cut from one image, which is in memory with the model before the timing starts. The seconds are those of
one core, so that other work of the machine is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fastsr.images import load
from fastsr.imresize import imresize
from fastsr.metrics import niqe
from fastsr.metrics.niqe_model import PristineModel
from fastsr.metrics.niqe_model import load as load_model

from .harness import time_in_turns
from .report import FORMAT, RESULTS, command_parser, data_folder, environment, publish, save

NIQE_SIDES = (192, 288, 384, 512)
DTYPES = ("float64", "float32")
ROUNDS = 9
TARGET = 0.3
"""Seconds that 512x512 pixels may take."""
MARKS = ("<!-- speed -->", "<!-- end of speed -->")


def measure_niqe(image: Tensor, model: PristineModel, sides: Sequence[int]) -> list[dict[str, Any]]:
    """Return a row for each side of a square and each precision."""
    rows: list[dict[str, Any]] = []
    for side in sides:
        square = image[:, :side, :side]
        calls = {dtype: partial(niqe, square, model=model, dtype=dtype) for dtype in DTYPES}
        for dtype, call in calls.items():
            value = call()
            seconds = median(_core_seconds(call) for _ in range(ROUNDS))
            rows.append({"side": side, "dtype": dtype, "niqe": value, "seconds": seconds})
    return rows


def _core_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def niqe_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows in Markdown."""
    lines = ["| side, pixels | precision | NIQE | seconds |", "|---|---|---|---|"]
    lines += [f"| {row['side']} | {row['dtype']} | {row['niqe']:.4f} | {row['seconds']:.3f} |" for row in rows]
    return "\n".join(lines)


def time_niqe() -> None:
    """Measure NIQE, and write the table into docs/niqe.md."""
    torch.set_num_threads(1)
    rows = measure_niqe(load(data_folder() / "niqe" / "image1.bmp"), load_model(), NIQE_SIDES)
    publish("niqe_speed", {"target_seconds": TARGET, "rows": rows}, {MARKS: niqe_table(rows)}, "niqe.md")


RESIZE_SIDE = 2048
SCALES = {"x4 down": 0.25, "x4 up": 4.0}


def measure_resize(name: str, scale: float, side: int) -> dict[str, Any]:
    """Time both calls on a random image, and compare their results away from the border.

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


def time_resize() -> None:
    """Measure resizing, and print a table."""
    rows = [measure_resize(name, scale, RESIZE_SIDE) for name, scale in SCALES.items()]
    where = environment(torch.device("cpu"))
    save(RESULTS / "resize_cpu.json", {"format": FORMAT, **where, "rows": rows})
    print(f"3x{RESIZE_SIDE}x{RESIZE_SIDE}, float32, {where['threads']} threads\n")
    print("| case | fastsr (ms) | torch (ms) | fastsr / torch |\n|---|---|---|---|")
    for row in rows:
        times = row["milliseconds"]
        print(f"| {row['case']} | {times['fastsr']:.1f} | {times['torch']:.1f} | {row['ratio']:.2f} |")


MEASUREMENTS = {"resize": time_resize, "niqe": time_niqe}


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("what", choices=MEASUREMENTS)
    MEASUREMENTS[parser.parse_args().what]()


if __name__ == "__main__":
    main()
