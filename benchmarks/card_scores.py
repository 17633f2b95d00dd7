"""What the commands of a model card measured: a table, and the scores that its front matter has.

An evaluation in evaluation/ROW/DATA gives the row ROW for the pictures DATA; underscores stand for spaces.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.card_commands import output_of
from benchmarks.looks import LOOKS
from fastsr.evaluate.table import MEAN

Figures = dict[tuple[str, str], dict[str, float]]
"""For the name of some pictures and that of a row, each measure."""
MEASURES = {
    "reached": ("eps reached, %", "eps reached, %", 0),
    "psnr_y": ("PSNR Y, dB", "PSNR", 2),
    "ssim": ("SSIM", "SSIM", 4),
    "lr_psnr": ("LR-PSNR, dB", None, 1),
    "niqe": ("NIQE", "NIQE", 2),
    "detail": ("detail", None, 2),
    "shift_hr": ("colour shift from HR", None, 2),
    "shift_lr": ("colour shift from LR", None, 2),
}
"""What each measure is called in the table, and in the front matter where it is there, and its digits.

The most telling one comes first.
"""


def read(commands: Iterable[str], folder: Path) -> Figures:
    """Return what the evaluations among `commands`, run in `folder`, wrote, and `benchmarks.looks` of them."""
    found: Figures = {}
    for command in commands:
        output = output_of(command)
        if command.startswith("fastsr evaluate ") and output is not None:
            place = folder / output
            row, data = (part.replace("_", " ") for part in place.parts[-2:])
            found[data, row] = _evaluated(place)
    return found


def _evaluated(place: Path) -> dict[str, float]:
    with open(place / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    if rows[-1]["image"] != MEAN:
        raise ArithmeticError(f"{place} has no mean over all pictures: {rows[-1]['image']}")
    figures = {key: float(rows[-1][key]) for key in ("psnr_y", "ssim", "lr_psnr")}
    looks = place / LOOKS
    return figures | (json.loads(looks.read_text()) if looks.exists() else {})


def table(figures: Figures) -> str:
    """Return all figures in Markdown, with a column for each measure that there is."""
    columns = [key for key in MEASURES if any(key in row for row in figures.values())]
    lines = [f"| pictures | | {' | '.join(MEASURES[key][0] for key in columns)} |", "|---" * (2 + len(columns)) + "|"]
    for (data, row), values in figures.items():
        cells = [f"{values[key]:.{MEASURES[key][2]}f}" if key in values else "" for key in columns]
        lines.append(f"| {data} | {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def reached_table(rows: Iterable[Mapping[str, Any]], eps: float) -> str:
    """Return the rows of `pulse_faces` in Markdown, but for the seconds, which are those of one machine on one day."""
    lines = [
        f"| from | starts | eps = {eps:g} reached | median step | PSNR Y, dB | bicubic, dB |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['side']}x{row['side']}, x{row['factor']} | {row['restarts']} "
            f"| {row['reached']} of {row['pictures']} | {row['steps']:g} "
            f"| {row['psnr_y']:.2f} | {row['psnr_y_bicubic']:.2f} |"
        )
    return "\n".join(lines)


def scores(figures: Figures, name: str) -> Mapping[str, Mapping[str, float]]:
    """Return the rows of the weights `name` for the front matter.

    What a row has behind the name, such as "as drawn", goes behind that of the pictures.
    """
    found = {}
    for (data, row), values in figures.items():
        if row.split()[0] == name:
            own = {
                title: round(values[key], digits)
                for key, (_, title, digits) in MEASURES.items()
                if title is not None and key in values and math.isfinite(values[key])
            }
            found[", ".join(filter(None, (data, row.partition(" ")[2])))] = own
    return found
