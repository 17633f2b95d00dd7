"""Draw the plots and write the tables of docs/measured/dip.md from what was measured.

    python -m benchmarks.dip_record         # needs matplotlib: pip install '.[plots]'

Each table goes between its marks (<!-- set14 x8 fast --> and <!-- end of set14 x8 fast -->), each plot to docs/.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib

from benchmarks import dip_recipes, dip_set14, dip_tasks
from benchmarks.report import RESULTS, ROOT, write_between_marks

matplotlib.use("Agg")
from matplotlib import pyplot as plt

DOCS = ROOT / "docs"


def draw_ingredients(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw PSNR against processor time, a panel for each ingredient and factor, the mean over the pictures."""
    factors = sorted({row["factor"] for row in rows})
    names = list(dict.fromkeys(row["ingredient"] for row in rows))
    figure, axes = plt.subplots(
        len(names), len(factors), figsize=(5.5 * len(factors), 3 * len(names)), squeeze=False, layout="constrained"
    )
    for line, ingredient in zip(axes, names, strict=True):
        for panel, factor in zip(line, factors, strict=True):
            chosen = [row for row in rows if (row["ingredient"], row["factor"]) == (ingredient, factor)]
            for variant in dict.fromkeys(row["variant"] for row in chosen):
                courses = [row["course"] for row in chosen if row["variant"] == variant]
                seconds, psnr = (
                    [fmean(point[key] for point in points) for points in zip(*courses, strict=True)]
                    for key in ("seconds", "psnr_y")
                )
                panel.plot(seconds, psnr, marker=".", label=variant)
            panel.set_title(f"{ingredient}, x{factor}", fontsize="medium")
            panel.set_xlabel("seconds of one thread")
            panel.set_ylabel("PSNR on Y, dB")
            panel.grid(alpha=0.3)
            panel.legend(fontsize="x-small")
    figure.savefig(path, dpi=80)
    plt.close(figure)


def draw_set14(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw each picture's difference to the published figure, a panel for each factor."""
    factors = sorted({row["factor"] for row in rows})
    figure, axes = plt.subplots(1, len(factors), figsize=(5.5 * len(factors), 4), squeeze=False, layout="constrained")
    presets = list(dict.fromkeys(row["preset"] for row in rows))
    width = 0.8 / len(presets)
    for panel, factor in zip(axes[0], factors, strict=True):
        names = list(dict.fromkeys(row["name"] for row in rows if row["factor"] == factor))
        for number, preset in enumerate(presets):
            chosen = [row for row in rows if (row["factor"], row["preset"]) == (factor, preset)]
            if chosen:
                difference = [row["psnr_y"] - row["published_y"] for row in chosen]
                places = [names.index(row["name"]) + (number - (len(presets) - 1) / 2) * width for row in chosen]
                panel.bar(places, difference, width, label=f"{preset}, mean {fmean(difference):+.2f} dB")
        panel.set_xticks(range(len(names)), names, rotation=60)
        panel.axhline(0, color="black", linewidth=0.8)
        panel.set_title(f"Set14 x{factor}, against the authors' pictures", fontsize="medium")
        panel.set_ylabel("difference in PSNR on Y, dB")
        panel.legend(fontsize="small")
    figure.savefig(path, dpi=80)
    plt.close(figure)


def rows_of(name: str) -> list[dict[str, Any]]:
    """Return the rows of a result file; none where nothing was measured."""
    path = RESULTS / f"dip_{name}.json"
    return list(json.loads(path.read_text())["rows"]) if path.exists() else []


def tables() -> dict[str, str]:
    """Return what belongs between each pair of marks."""
    set14, tasks, recipes = rows_of("set14"), rows_of("tasks"), rows_of("recipes")
    found = {}
    for name, factor, preset in dict.fromkeys((row["set"], row["factor"], row["preset"]) for row in set14):
        chosen = [row for row in set14 if (row["set"], row["factor"], row["preset"]) == (name, factor, preset)]
        found[f"{name.lower()} x{factor} {preset}"] = dip_set14.table(chosen)
    if tasks:
        found["tasks"] = dip_tasks.table(tasks)
    if recipes:
        found["ingredients"] = dip_recipes.table(recipes)
    return found


def main() -> None:
    """Draw and write what was measured."""
    for name, rows, draw in (
        ("ingredients", rows_of("recipes"), draw_ingredients),
        ("set14", rows_of("set14"), draw_set14),
    ):
        if rows:
            draw(rows, DOCS / f"dip_{name}.png")
            print(DOCS / f"dip_{name}.png")
    for name, text in tables().items():
        write_between_marks(DOCS / "measured" / "dip.md", (f"<!-- {name} -->", f"<!-- end of {name} -->"), text)
        print(f"docs/measured/dip.md: {name}")


if __name__ == "__main__":
    main()
