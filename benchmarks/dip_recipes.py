"""What each ingredient of a Deep Image Prior recipe is worth, on 128x128 centre crops of two pictures of Set5.

    FASTSR_DATA=... OMP_NUM_THREADS=1 python -m benchmarks.dip_recipes [INGREDIENT ...]

Each row changes the fast preset in one thing. Rows are written as they are measured and not measured again;
`python -m benchmarks.dip_record` draws them. PSNR on Y, 4 pixels shaved, of what the fit would give if it ended there.
Seconds are those of processor time: on one thread they hardly depend on what else the machine does.
The pictures are none of Set14, so that what is chosen here is not chosen on the pictures by which it is judged.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks.report import FORMAT, RESULTS, data_folder, environment, kept_rows, save
from benchmarks.scores import psnr
from fastsr.consistency import Downscale
from fastsr.device import resolve_dtype
from fastsr.dip.fit import fit
from fastsr.dip.recipes import Recipe, upscale
from fastsr.images import read

PICTURES = {"butterfly": 3, "woman": 5}
"""Their numbers in Set5."""
SIDE = 128
FACTORS = (4, 8)
CHECKPOINTS = 12


@dataclass(frozen=True)
class Variant:
    """A way to fit: the recipe, the filter of the downscale, and the precision (None: the machine's)."""

    recipe: Recipe
    kernel: str = "lanczos3"
    dtype: str | None = None


Variants = dict[str, Variant]


def with_channels(recipe: Recipe, *channels: int) -> Recipe:
    """Return `recipe` with another width at every scale."""
    return replace(recipe, network=replace(recipe.network, channels=channels))


def ingredients(factor: int) -> dict[str, Variants]:
    """Return for each ingredient the recipes to compare; the first is the fast preset."""
    fast = upscale("fast", factor)
    adam = replace(fast, optimizer="adam")
    recipes: dict[str, dict[str, Recipe]] = {
        "optimiser": {
            "Muon (fast)": fast,
            "Adam": adam,
            "Adam, 900 steps": replace(adam, steps=900),
        },
        "width": {
            "32, 64, 128, 128, 128 (fast)": fast,
            "32": with_channels(fast, *[32] * 5),
            "128": with_channels(fast, *[128] * 5),
        },
        "depth": {
            "5 scales (fast)": fast,
            "3 scales": with_channels(fast, 32, 64, 128),
            "no skips": replace(fast, network=replace(fast.network, skip_channels=0)),
            "nearest upsampling": replace(fast, network=replace(fast.network, upsampling="nearest")),
        },
        "noise": {
            f"{fast.noise:g} (fast)": fast,
            "none": replace(fast, noise=0.0),
            "0.1": replace(fast, noise=0.1),
        },
        "average": {
            "0.98 (fast)": fast,
            "none": replace(fast, average=0.0),
            "0.9": replace(fast, average=0.9),
        },
        "schedule": {
            "falling to a tenth (fast)": fast,
            "constant": replace(fast, final_rate=1.0),
            "600 steps": replace(fast, steps=600),
        },
        "end": {"made to agree (fast)": fast, "as it is": replace(fast, consistent=False)},
    }
    variants = {name: {title: Variant(recipe) for title, recipe in group.items()} for name, group in recipes.items()}
    variants["kernel"] = {"the picture's own (fast)": Variant(fast), "Lanczos-2": Variant(fast, "lanczos2")}
    variants["precision"] = {"bfloat16 (fast)": Variant(fast), "float32": Variant(fast, dtype="float32")}
    return variants


def crop(name: str, data: Path) -> Image.Image:
    """Return the 128x128 centre of a picture of Set5."""
    picture = Image.open(data / "Set5" / "image_SRF_4" / f"img_{PICTURES[name]:03d}_SRF_4_HR.png").convert("RGB")
    left, top = (picture.width - SIDE) // 2, (picture.height - SIDE) // 2
    return picture.crop((left, top, left + SIDE, top + SIDE))


def measure(factor: int, variant: Variant, image: str, data: Path) -> dict[str, Any]:
    """Fit to a picture, made small by Pillow's Lanczos; return steps, processor time and PSNR at every checkpoint."""
    recipe, dtype = variant.recipe, resolve_dtype(variant.dtype, torch.device("cpu"))
    original = crop(image, data)
    observation = read(original.resize((SIDE // factor,) * 2, Image.Resampling.LANCZOS)).pixels
    operator = Downscale((SIDE, SIDE), (SIDE // factor,) * 2, kernel=variant.kernel)
    original_pixels = read(original).pixels[0]
    course: list[dict[str, float]] = []
    start, aside = time.process_time(), 0.0
    for state in fit(observation, operator, (SIDE, SIDE), recipe, seed=0, dtype=dtype):
        if state.step % (recipe.steps // CHECKPOINTS) == 0 or state.step == recipe.steps:
            now = time.process_time()
            result = operator.project(state.image, observation) if recipe.consistent else state.image
            score = psnr(result[0].clamp(0, 1), original_pixels, channel="y", shave=4)
            course.append({"step": state.step, "seconds": now - start - aside, "psnr_y": score})
            aside += time.process_time() - now
    return {"course": course}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table: PSNR at the end, and the mean of the seconds."""
    found = {(row["ingredient"], row["variant"], row["factor"], row["image"]): row["course"][-1] for row in rows}
    columns = sorted({(row["factor"], row["image"]) for row in rows})
    lines = [f"| | | {' | '.join(f'{image} x{factor}' for factor, image in columns)} | seconds |"]
    lines.append("|---" * (3 + len(columns)) + "|")
    ingredients = list(dict.fromkeys(row["ingredient"] for row in rows))
    variants = dict.fromkeys((row["ingredient"], row["variant"]) for row in rows)
    for ingredient, variant in sorted(variants, key=lambda names: ingredients.index(names[0])):
        ends = [found.get((ingredient, variant, *column)) for column in columns]
        cells = ["" if end is None else f"{end['psnr_y']:.2f}" for end in ends]
        seconds = [end["seconds"] for end in ends if end is not None]
        lines.append(f"| {ingredient} | {variant} | {' | '.join(cells)} | {sum(seconds) / len(seconds):.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(ingredients(4))
    parser.add_argument(
        "ingredients", nargs="*", metavar="INGREDIENT", help=f"any of: {', '.join(names)} (default: all)"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.ingredients) - set(names)
    if unknown:
        parser.error(f"unknown ingredient {sorted(unknown)[0]!r}; choose from: {', '.join(names)}")
    path, where = RESULTS / "dip_recipes.json", environment(torch.device("cpu"))
    rows = {key(row): row for row in kept_rows(path, where)}
    wanted: list[dict[str, Any]] = [
        {"factor": factor, "image": image, "details": str(variant), "ingredient": ingredient, "variant": title}
        for image, factor in product(PICTURES, FACTORS)
        for ingredient, variants in ingredients(factor).items()
        for title, variant in variants.items()
    ]
    for row in wanted:
        if key(row) not in rows and (not arguments.ingredients or row["ingredient"] in arguments.ingredients):
            variant = ingredients(row["factor"])[row["ingredient"]][row["variant"]]
            rows[key(row)] = measure(row["factor"], variant, row["image"], data_folder())
            current = [row | {"course": rows[key(row)]["course"]} for row in wanted if key(row) in rows]
            save(path, {"format": FORMAT, **where, "rows": current})
    current = [row | {"course": rows[key(row)]["course"]} for row in wanted if key(row) in rows]
    print(table(current))


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells a measurement from others: rows of several ingredients may share one."""
    return row["factor"], row["image"], row["details"]


if __name__ == "__main__":
    main()
