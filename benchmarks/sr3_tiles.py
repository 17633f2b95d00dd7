"""What tiles change of a picture by SR3 that is larger than those the network was trained on.

    python -m benchmarks.sr3_tiles --weights FILE PICTURE...  # writes results/sr3_tiles.json, docs/measured/sr3.md

Each picture is made small by the factor of the weights and enlarged again, with one seed: whole; in tiles that are put
together at every step, as `fastsr.sr3` does it, of twice the side that the network was trained on and of that side; and
in tiles of that side that are drawn one by one and put beside one another. Seam is the mean step from pixel to pixel
at the borders of tiles, over that of the whole picture at the same places: 1 is none. No result is projected. Figures
are means over the pictures; docs/sr3_tiles.png shows the first one.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

import fastsr
from benchmarks.report import FORMAT, RESULTS, ROOT, environment, save, write_between_marks
from fastsr.images import load as load_picture
from fastsr.metrics import lr_consistency, psnr
from fastsr.sheets import side_by_side
from fastsr.sr3.checkpoint import Checkpoint
from fastsr.sr3.formats import load
from fastsr.sr3.tiles import Axis

WHOLE, DOUBLE, SINGLE, APART = "whole", "tiles of twice the side", "tiles of the side", "such tiles, each drawn alone"
STEPS = 20
MARKS = ("<!-- tiles -->", "<!-- end of tiles -->")


def enlarge(checkpoint: Checkpoint, low: Tensor, tile: int) -> Tensor:
    """Return a sample of (3, h, w) in tiles of `tile` pixels of the result."""
    return fastsr.sr3(low, weights=checkpoint, tile=tile, steps=STEPS, consistency=False, progress=False)


def apart(checkpoint: Checkpoint, low: Tensor, tile: int) -> Tensor:
    """Return samples of squares of (3, h, w), drawn one by one."""
    assert checkpoint.factor is not None
    side = tile // checkpoint.factor
    rows = [
        torch.cat([enlarge(checkpoint, square, tile) for square in row.split(side, 2)], 2) for row in low.split(side, 1)
    ]
    return torch.cat(rows, 1)


def borders(length: int, tile: int, *, overlapping: bool) -> list[int]:
    """Return the pixels of an axis with which tiles end, or before which they begin, but for the last one."""
    starts = Axis.cut(length, tile).starts if overlapping else tuple(range(0, length, tile))
    found = {place - 1 for start in starts for place in (start, min(start + tile, length))}
    return sorted(found - {-1, length - 1})


def steps_at(made: Tensor, rows: list[int], columns: list[int]) -> float:
    """Return the mean step of (3, H, W) from these rows and columns to the next ones."""
    down, across = made.diff(dim=1).abs()[:, rows], made.diff(dim=2).abs()[:, :, columns]
    return float(torch.cat([down.flatten(), across.flatten()]).mean())


def seam(made: Tensor, whole: Tensor, tile: int, *, overlapping: bool) -> float | None:
    """Return how much larger steps are at the borders of tiles than in the whole picture; None where there are none."""
    rows, columns = (borders(length, tile, overlapping=overlapping) for length in made.shape[1:])
    return steps_at(made, rows, columns) / steps_at(whole, rows, columns) if rows or columns else None


def measure(checkpoint: Checkpoint, picture: Tensor) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Return a row for each way to enlarge what a picture, (3, H, W) in [0, 1], is when it was made small; the results.

    Its sides are cut to a multiple of the pictures that the network was trained on.
    """
    tile, factor = checkpoint.size, checkpoint.factor
    assert tile is not None
    assert factor is not None
    height, width = (side // tile * tile for side in picture.shape[-2:])
    high = picture[:, :height, :width]
    low = fastsr.resize(high, 1 / factor)
    sides = {WHOLE: max(height, width), DOUBLE: 2 * tile, SINGLE: tile, APART: tile}
    made = {
        name: apart(checkpoint, low, side) if name == APART else enlarge(checkpoint, low, side)
        for name, side in sides.items()
    }
    rows = [
        {
            "what": name,
            "mean_difference": 255 * float((result - made[WHOLE]).abs().mean()),
            "seam": seam(result, made[WHOLE], sides[name], overlapping=name != APART),
            "psnr_y": psnr(result, high),
            "consistency": lr_consistency(result, low),
        }
        for name, result in made.items()
    ]
    return rows, made


def means(measured: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the means of the rows over the pictures."""
    return [
        {key: fmean(row[key] for row in rows) if isinstance(value, float) else value for key, value in rows[0].items()}
        for rows in zip(*measured, strict=True)
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| | mean difference to the whole one, of 255 | seam | PSNR, dB | consistency, dB |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['what']} | {row['mean_difference']:.2f} "
            f"| {'' if row['seam'] is None else format(row['seam'], '.2f')} | {row['psnr_y']:.2f} "
            f"| {row['consistency']:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure; the table goes to docs/measured/sr3.md too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, help="of fastsr train sr3")
    parser.add_argument("pictures", type=Path, nargs="+")
    arguments = parser.parse_args()
    checkpoint = load(arguments.weights)
    if checkpoint.size is None:
        raise SystemExit(f"{arguments.weights} does not say what it was trained on")
    found = [measure(checkpoint, load_picture(path)[:3].expand(3, -1, -1)) for path in arguments.pictures]
    rows = means([rows for rows, _ in found])
    print(table(rows))
    facts = {"weights": str(checkpoint), "pictures": [path.name for path in arguments.pictures]}
    save(RESULTS / "sr3_tiles.json", {"format": FORMAT, **environment(torch.device("cpu")), **facts, "rows": rows})
    write_between_marks(ROOT / "docs" / "measured" / "sr3.md", MARKS, table(rows))
    fastsr.save(side_by_side(list(found[0][1].items())), ROOT / "docs" / "sr3_tiles.png")


if __name__ == "__main__":
    main()
