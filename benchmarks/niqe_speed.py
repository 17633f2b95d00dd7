"""NIQE of squares cut from one picture, and its seconds: ``FASTSR_DATA=... python -m benchmarks.niqe_speed``.

The picture is in memory and the model read before. Seconds are those of one core, so that what else the machine does is
not counted. Writes benchmarks/results/niqe_speed.json and the table of docs/niqe.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from fastsr.images import load
from fastsr.metrics import niqe
from fastsr.niqe.model import PristineModel
from fastsr.niqe.model import load as load_model

from .report import RESULTS, ROOT, data_folder, environment, save, write_between_marks

SIDES = (192, 288, 384, 512)
DTYPES = ("float64", "float32")
ROUNDS = 9
TARGET = 0.3
"""Seconds that 512x512 pixels may take."""
MARKS = ("<!-- speed -->", "<!-- end of speed -->")


def measure(picture: Tensor, model: PristineModel, sides: Sequence[int]) -> list[dict[str, Any]]:
    """Return a row for each side of a square and each precision."""
    rows: list[dict[str, Any]] = []
    for side in sides:
        square = picture[:, :side, :side]
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


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows in Markdown."""
    lines = ["| square | precision | NIQE | seconds |", "|---|---|---|---|"]
    lines += [f"| {row['side']} | {row['dtype']} | {row['niqe']:.4f} | {row['seconds']:.3f} |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    rows = measure(load(data_folder() / "niqe" / "image1.bmp"), load_model(), SIDES)
    where = environment(torch.device("cpu"))
    save(RESULTS / "niqe_speed.json", {**where, "target_seconds": TARGET, "rows": rows})
    write_between_marks(ROOT / "docs" / "niqe.md", MARKS, table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
