"""What each op must move and compute, and how fast an H200 could: ``python -m benchmarks.floors``.

Everything here is counted, nothing timed, except the last column, which is what the GPU queue measured.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.kernels import CASES, TARGETS
from benchmarks.measure import Case
from benchmarks.report import RESULTS, write_between_marks
from fastsr.dip.network import HourglassConfig
from fastsr.dip.recipes import FAST, PAPER
from fastsr_kernels.reflect_conv_choice import RIVALS

COPY, PRODUCT = 4.3e12, 790e12
"""Bytes a second of a large copy (read and written) and operations a second of a bfloat16 product, of an H200."""
MARKS = "<!-- floors -->", "<!-- end of floors -->"
MEMORY_SHARE, MATRIX_SHARE = 0.8, 0.6
"""What is expected of these where no target says otherwise."""
SIDE = 512
OURS = (
    "add_noise",
    "diffuse",
    "reverse_step",
    "resample",
    "norm_act_pad",
    "upsample_norm_pad",
    "group_norm",
    "style_epilogue",
    "upsample_blur",
    "blur_downsample",
    *RIVALS,
)
"""The library's implementations among the rivals."""


def cells(op: str, case: Case, measured: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return a line of the table."""
    floor = max(case.bytes / COPY, case.flops / PRODUCT)
    share = MATRIX_SHARE if case.flops / PRODUCT > case.bytes / COPY else MEMORY_SHARE
    share = next((target.least for target in TARGETS[op] if case.name.startswith(target.case)), share)
    best = "owed"
    ours = [row for row in measured.get(case.name, []) if row["rival"] in OURS]
    if ours:
        row = min(ours, key=lambda row: row["microseconds"])
        best = f"{row['microseconds']:.1f} ({row['rival']})"
    gigaflop = f"{case.flops / 1e9:.1f}" if case.flops else "-"
    return [
        case.name,
        f"{case.bytes / 1e6:.1f}",
        gigaflop,
        f"{floor * 1e6:.1f}",
        f"{floor / share * 1e6:.1f} ({share:.0%})",
        best,
    ]


def measured_rows(results: Path) -> dict[str, list[dict[str, Any]]]:
    """Return case -> the rows that the queue's items measured of it, on an H200."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(results.glob("*h200*/*.json")):
        report = json.loads(path.read_text())
        for row in report.get("result", {}).get("rows", []):
            if row.get("case") and row.get("microseconds"):
                found.setdefault(row["case"], []).append(row)
    return found


def step_traffic(config: HourglassConfig, side: int) -> dict[str, float]:
    """Return the bytes that a step moves between the convolutions, by torch's separate functions and fused.

    Counted in passes over a layer's bfloat16 result, forward and backward. Separate: statistics 1, norm 2, activation
    2, padding 2; its gradient 3 (zeros, reading, adding), that of the activation 3, of the norm 5. Fused: 3 and 5.
    Where scales meet, separate: upsampling 1.25, concatenation 2 and 2, upsampling's gradient 1.25, norm and padding
    as above; fused: 1.5 and 2.25.
    """
    separate = fused = 0.0
    for level, width in enumerate(config.channels):
        area = 2 * (side >> level) ** 2
        small = area / 4
        deepest = level + 1 == len(config.channels)
        below = width if deepest else config.channels[level + 1]
        with_pad, without = 18, 13
        layers = [
            (config.skip_channels * area, without),
            (width * small, with_pad),
            (width * small, without if deepest else with_pad),
            (width * area, without),
            (width * area, without),
        ]
        separate += sum(size * passes for size, passes in layers)
        fused += sum(size * 8 for size, _ in layers)
        separate += (config.skip_channels + below) * area * (1.25 + 2 + 3 + 2 + 3 + 5 + 2 + 1.25)
        fused += (config.skip_channels + below) * area * (1.5 + 2.25)
    return {"separate": separate, "fused": fused}


def table(results: Path) -> str:
    """Return the tables as Markdown."""
    measured = measured_rows(results)
    lines = [
        "| case | MB | GFLOP | floor, us | expected, us (share) | measured on an H200, us (which implementation) |",
        "|---|---|---|---|---|---|",
    ]
    for op, cases in CASES.items():
        for case in cases(torch.device("cpu"), False):
            lines.append(f"| {' | '.join(cells(op, case, measured))} |")
    lines += [
        "",
        f"Between the convolutions of a step of Deep Image Prior at {SIDE}x{SIDE}, counted:",
        "",
        "| channels | torch's separate functions, GB | fused, GB | saved at the rate of a copy, ms |",
        "|---|---|---|---|",
    ]
    for channels in (PAPER.channels, FAST.channels):
        moved = step_traffic(HourglassConfig(channels=channels), SIDE)
        saved = (moved["separate"] - moved["fused"]) / COPY * 1e3
        gigabytes = f"{moved['separate'] / 1e9:.2f} | {moved['fused'] / 1e9:.2f}"
        lines.append(f"| {', '.join(map(str, channels))} | {gigabytes} | {saved:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help=f"a Markdown file, to put the tables between its {MARKS[0]}")
    options = parser.parse_args()
    text = table(RESULTS)
    print(text)
    if options.write:
        write_between_marks(options.write, MARKS, text)


if __name__ == "__main__":
    main()
