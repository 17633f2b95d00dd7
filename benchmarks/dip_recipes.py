"""What each ingredient of a Deep Image Prior recipe is worth, on 128x128 centre crops of Set14.

    FASTSR_DATA=... python -m benchmarks.dip_recipes [NAME ...]

Rows are written as they are measured and not measured again. PSNR on Y, 4 pixels shaved, of the averaged output.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from fastsr.consistency import Downscale
from fastsr.device import resolve_dtype
from fastsr.dip.fit import fit
from fastsr.dip.recipes import Recipe, upscale
from fastsr.images import read

from .dip_crops import SIDE, centre_crop, psnr
from .report import RESULTS, environment, kept_rows, save

IMAGES = ("zebra", "monarch")
SMALL, LARGE = upscale("fast", 4), upscale("fast", 8)


def channels(recipe: Recipe, *widths: int) -> Recipe:
    """Return `recipe` with another width at every scale."""
    return replace(recipe, network=replace(recipe.network, channels=widths))


RECIPES: dict[str, tuple[int, Recipe]] = {
    "x4 fast": (4, SMALL),
    "x4 falling rate": (4, replace(SMALL, final_rate=0.1)),
    "x4 64 channels": (4, channels(SMALL, *[64] * 5)),
    "x4 128 channels": (4, channels(SMALL, *[128] * 5)),
    "x4 no input noise": (4, replace(SMALL, noise=0.0)),
    "x4 Adam": (4, replace(SMALL, optimizer="adam")),
    "x4 nearest upsampling": (4, replace(SMALL, network=replace(SMALL.network, upsampling="nearest"))),
    "x8 fast": (8, LARGE),
    "x8 constant rate": (8, replace(LARGE, final_rate=1.0)),
    "x8 rate 0.01": (8, replace(LARGE, learning_rate=0.01)),
    "x8 rate 0.03": (8, replace(LARGE, learning_rate=0.03)),
    "x8 beta2 0.99, rate 0.01": (8, replace(LARGE, betas=(0.9, 0.99), learning_rate=0.01)),
    "x8 Muon": (8, replace(LARGE, optimizer="muon", learning_rate=0.01)),
    "x8 64 channels": (8, channels(LARGE, *[64] * 5)),
    "x8 noise 0.08": (8, replace(LARGE, noise=0.08)),
}
CHECKPOINTS = (0.25, 0.5, 0.75, 1.0)
"""Parts of the recipe's steps after which PSNR is taken."""


def measure(name: str, image: str, data: Path) -> dict[str, Any]:
    """Run a recipe on a picture and return its row."""
    factor, recipe = RECIPES[name]
    original = centre_crop(image, data)
    observation = read(original.resize((SIDE // factor,) * 2, Image.Resampling.LANCZOS)).pixels
    operator = Downscale((SIDE, SIDE), (SIDE // factor,) * 2)
    dtype = resolve_dtype(None, torch.device("cpu"))
    original_pixels = read(original).pixels[0]
    course: dict[int, float] = {}
    start = time.perf_counter()
    for state in fit(observation, operator, (SIDE, SIDE), recipe, seed=0, dtype=dtype):
        if state.step in {round(part * recipe.steps) for part in CHECKPOINTS}:
            course[state.step] = psnr(state.image[0], original_pixels, channel="y", shave=4)
    seconds = time.perf_counter() - start
    return {"recipe": name, "details": str(recipe), "image": image, "psnr_y": course, "seconds": seconds}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table: PSNR at each checkpoint, and seconds."""
    lines = ["| recipe | picture | PSNR after steps | seconds |", "|---|---|---|---|"]
    for row in rows:
        course = ", ".join(f"{step}: {value:.2f}" for step, value in row["psnr_y"].items())
        lines.append(f"| {row['recipe']} | {row['image']} | {course} | {row['seconds']:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {'; '.join(RECIPES)} (default: all)")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(RECIPES)
    if unknown:
        parser.error(f"unknown recipe {sorted(unknown)[0]!r}; choose from: {'; '.join(RECIPES)}")
    if "FASTSR_DATA" not in os.environ:
        parser.error("set FASTSR_DATA to the folder that holds Set14")
    data = Path(os.environ["FASTSR_DATA"])
    path = RESULTS / "dip_recipes.json"
    where = environment(torch.device("cpu"))
    current = {name: str(recipe) for name, (_, recipe) in RECIPES.items()}
    rows = [row for row in kept_rows(path, where) if row["details"] == current.get(row["recipe"])]
    done = {(row["recipe"], row["image"]) for row in rows}
    for name in arguments.names or RECIPES:
        for image in IMAGES:
            if (name, image) not in done:
                rows.append(measure(name, image, data))
                save(path, {**where, "rows": rows})
    print(table(sorted(rows, key=lambda row: (row["image"], list(RECIPES).index(row["recipe"])))))


if __name__ == "__main__":
    main()
