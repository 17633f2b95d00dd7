"""Draw the plots of docs/dip.md from the measured rows.

    python -m benchmarks.dip_plots          # needs matplotlib: pip install '.[plots]'

Writes docs/dip_ingredients.png from dip_recipes.json, docs/dip_set14.png from dip_set14.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib

from benchmarks.report import RESULTS, ROOT

matplotlib.use("Agg")
from matplotlib import pyplot as plt

DOCS = ROOT / "docs"


def draw_ingredients(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw PSNR against seconds, a panel for each ingredient and factor, the mean over the pictures."""
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
            panel.set_xlabel("seconds")
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


def main() -> None:
    """Draw what was measured."""
    for name, draw in (("recipes", draw_ingredients), ("set14", draw_set14)):
        source = RESULTS / f"dip_{name}.json"
        target = DOCS / f"dip_{'ingredients' if name == 'recipes' else name}.png"
        if source.exists():
            draw(json.loads(source.read_text())["rows"], target)
            print(target)


if __name__ == "__main__":
    main()
