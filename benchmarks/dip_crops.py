"""Both presets of Deep Image Prior against bicubic on 128x128 centre crops of Set14.

    FASTSR_DATA=... python -m benchmarks.dip_crops

The low-resolution pictures are made as in the paper, by Pillow's Lanczos filter. Every row is written as soon as it
is measured; a second call goes on where the first one stopped. PSNR is that of the 8-bit result (protocol rgb8).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import fastsr
from fastsr.dip.recipes import upscale

from .report import RESULTS, data_folder, environment, kept_rows, save

NUMBERS = {"lenna": 9, "monarch": 11, "ppt3": 13, "zebra": 14}
SIDE = 128
FACTORS = (4, 8)
METHODS = ("bicubic", "fast", "paper")


def centre_crop(name: str, data: Path) -> Image.Image:
    """Return the 128x128 centre of the Set14 picture called `name`."""
    number = NUMBERS[name]
    picture = Image.open(data / "Set14" / "image_SRF_4" / f"img_{number:03d}_SRF_4_HR.png").convert("RGB")
    left, top = (picture.width - SIDE) // 2, (picture.height - SIDE) // 2
    return picture.crop((left, top, left + SIDE, top + SIDE))


def measure(name: str, factor: int, method: str, data: Path) -> dict[str, Any]:
    """Return the row of one picture: PSNR on Y (4 pixels shaved) and on RGB, and seconds."""
    original = centre_crop(name, data)
    small = original.resize((SIDE // factor,) * 2, Image.Resampling.LANCZOS)
    start = time.perf_counter()
    result = fastsr.resize(small, factor) if method == "bicubic" else fastsr.dip(small, factor, preset=method)
    seconds = time.perf_counter() - start
    return {
        "image": name,
        "factor": factor,
        "method": method,
        "recipe": recipe(method, factor),
        "psnr_y": psnr(result, original, channel="y", shave=4),
        "psnr_rgb": psnr(result, original, channel="rgb"),
        "seconds": seconds,
    }


def recipe(method: str, factor: int) -> str:
    """Return what a method consists of, in words that change when it does."""
    return method if method == "bicubic" else str(upscale(method, factor))


def psnr(a: Any, b: Any, **protocol: Any) -> float:
    """Return the PSNR of one picture against another."""
    value = fastsr.metrics.psnr(a, b, **protocol)
    assert isinstance(value, float)
    return value


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table, one line a picture and factor, and the means of each factor."""
    found = {(row["factor"], row["image"], row["method"]): row for row in rows}
    lines = [
        "| | bicubic Y / RGB | fast Y / RGB | seconds | paper Y / RGB | seconds | times faster |",
        "|---|---|---|---|---|---|---|",
    ]
    for factor in FACTORS:
        keys = [[(factor, name, method) for method in METHODS] for name in NUMBERS]
        complete = [[found[key] for key in trio] for trio in keys if all(key in found for key in trio)]
        lines += [_line(f"{trio[0]['image']} x{factor}", trio) for trio in complete]
        if complete:
            lines.append(_line(f"**mean x{factor}**", [_mean(rows) for rows in zip(*complete, strict=True)]))
    return "\n".join(lines)


def _mean(rows: tuple[dict[str, Any], ...]) -> dict[str, float]:
    return {key: sum(row[key] for row in rows) / len(rows) for key in ("psnr_y", "psnr_rgb", "seconds")}


def _line(title: str, trio: list[Any]) -> str:
    bicubic, fast, paper = (f"{row['psnr_y']:.2f} / {row['psnr_rgb']:.2f}" for row in trio)
    quick, slow = (row["seconds"] for row in trio[1:])
    return f"| {title} | {bicubic} | {fast} | {quick:.0f} | {paper} | {slow:.0f} | {slow / quick:.1f} |"


def main() -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS / "dip_crops.json", help="where the rows are kept")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="default: all")
    arguments = parser.parse_args()
    data = data_folder()
    fastsr.dip(centre_crop("lenna", data), 2, steps=1)  # what is loaded on first use is not timed
    where = environment(torch.device("cpu"))
    rows = [row for row in kept_rows(arguments.results, where) if row["recipe"] == recipe(row["method"], row["factor"])]
    done = {(row["image"], row["factor"], row["method"]) for row in rows}
    for factor in FACTORS:
        for name in NUMBERS:
            for method in arguments.methods:
                if (name, factor, method) not in done:
                    rows.append(measure(name, factor, method, data))
                    save(arguments.results, {**where, "rows": rows})
    print(table(rows))


if __name__ == "__main__":
    main()
