"""Whether PULSE finds faces that agree with small ones that it has never seen, and how often.

    python -m benchmarks.pulse_faces --weights FILE PICTURE...

writes benchmarks/results/pulse_faces.json, the table of docs/measured/pulse.md and docs/pulse_faces.png.

Each picture is brought to the resolution of the generator, and from there made smaller by each factor: from that,
`fastsr.pulse` searches with its default settings, from one start and from several. Error is the mean squared error
between the downscale of the result and the input, for colours in [0, 1]; eps is what it is to be at most. PSNR is that
of Y (protocol rgb8) to the picture itself: the search does not look for that, and it is not what PULSE is for. Seconds
are those of all pictures in one call, over their number.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from PIL import Image
from torch import Tensor

import fastsr
from benchmarks.report import FORMAT, RESULTS, ROOT, environment, save, write_between_marks
from fastsr.images import load as load_picture
from fastsr.images import single
from fastsr.metrics import psnr
from fastsr.pulse.arguments import check_options
from fastsr.pulse.call import Found, search_pictures
from fastsr.pulse.checkpoint import Checkpoint
from fastsr.pulse.formats import load
from fastsr.sheets import in_columns

FACTORS = (4, 8)
RESTARTS = (1, 4)
SHOWN, ENLARGED = 6, 2
MARKS = ("<!-- faces -->", "<!-- end of faces -->")


def measure(
    checkpoint: Checkpoint, pictures: Sequence[Tensor], factor: int, restarts: int
) -> tuple[dict[str, Any], list[Found]]:
    """Return a row, and what was found for the downscale of each picture, uint8 (3, H, H)."""
    options = check_options(factor, weights=checkpoint, restarts=restarts)
    small = [fastsr.resize(picture, 1 / factor) for picture in pictures]
    start = time.perf_counter()
    found = list(search_pictures(single(small), options, progress=True, total=len(small)))
    seconds = time.perf_counter() - start
    faces = [face for one in found for face in one.faces]
    row = {
        "factor": factor,
        "side": small[0].shape[-1],
        "restarts": restarts,
        "reached": sum(face.reached for face in faces),
        "pictures": len(faces),
        "error": fmean(face.l2 for face in faces),
        "steps": median(face.step for face in faces),
        "seconds": seconds / len(faces),
        "psnr_y": _mean_psnr([one.result for one in found], pictures),
        "psnr_y_bicubic": _mean_psnr([fastsr.resize(low, factor) for low in small], pictures),
    }
    return row, found


def _mean_psnr(made: Sequence[Tensor], pictures: Sequence[Tensor]) -> float:
    found = psnr(torch.stack(list(made)), torch.stack(list(pictures)))
    return found if isinstance(found, float) else fmean(found)


def shown(pictures: Sequence[Tensor], found: dict[int, list[Found]]) -> Image.Image:
    """Return the inputs at each factor, what was found for them, and the pictures, below one another."""
    columns: dict[str, list[Tensor]] = {}
    for index, picture in enumerate(pictures):
        for factor, ones in found.items():
            low = fastsr.resize(picture, 1 / factor)
            columns.setdefault(f"1/{factor}", []).append(_enlarged(low, factor))
            columns.setdefault(f"PULSE x{factor}", []).append(_enlarged(ones[index].result))
        columns.setdefault("the picture", []).append(_enlarged(picture))
    return in_columns(list(columns.items()))


def colours(path: Path) -> Tensor:
    """Return a picture in 8 bits, (3, H, W)."""
    return load_picture(path)[:3].mul(255).round().byte().expand(3, -1, -1)


def _enlarged(picture: Tensor, factor: int = 1) -> Tensor:
    times = factor * ENLARGED
    return picture.repeat_interleave(times, -1).repeat_interleave(times, -2)


def table(rows: Sequence[dict[str, Any]], eps: float) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        f"| from | starts | reached eps = {eps:g} | mean error | median step | seconds a picture | PSNR, dB "
        "| bicubic, dB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['side']}x{row['side']}, x{row['factor']} | {row['restarts']} "
            f"| {row['reached']} of {row['pictures']} | {row['error']:.4f} | {row['steps']:g} | {row['seconds']:.2f} "
            f"| {row['psnr_y']:.2f} | {row['psnr_y_bicubic']:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure; the table goes to docs/measured/pulse.md too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, help="of fastsr train stylegan")
    parser.add_argument("pictures", type=Path, nargs="+", help="square, of faces that the weights were not trained on")
    arguments = parser.parse_args()
    checkpoint = load(arguments.weights)
    side = checkpoint.network.resolution
    pictures = [fastsr.resize(colours(path), size=(side, side)) for path in arguments.pictures]
    rows, kept = [], {}
    for factor in FACTORS:
        for restarts in RESTARTS:
            row, found = measure(checkpoint, pictures, factor, restarts)
            rows.append(row)
            if restarts == RESTARTS[0]:
                kept[factor] = found
            print(row, flush=True)
    eps = check_options(FACTORS[0], weights=checkpoint).settings.eps
    print(table(rows, eps))
    facts = {"weights": str(checkpoint), "eps": eps}
    save(RESULTS / "pulse_faces.json", {"format": FORMAT, **environment(torch.device("cpu")), **facts, "rows": rows})
    write_between_marks(ROOT / "docs" / "measured" / "pulse.md", MARKS, table(rows, eps))
    fastsr.save(shown(pictures[:SHOWN], kept), ROOT / "docs" / "pulse_faces.png")


if __name__ == "__main__":
    main()
