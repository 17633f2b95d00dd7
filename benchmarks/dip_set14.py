"""Set14 and Set5 by the protocol of Deep Image Prior, each picture beside the authors' published one.

    FASTSR_DATA=... python -m benchmarks.dip_set14 [--presets fast paper] [--factors 8 4] [--sets Set14]

What takes long is `fastsr evaluate dip --protocol dip`, whose folders below evaluation/ this goes on with: a run that
was stopped loses one picture, and one under torchrun shares the pictures. The table goes to the terminal and the rows
to benchmarks/results/dip_set14.json.

The published figures (dip_published.csv) were computed, by this protocol, from the pictures that the authors show at
dmitryulyanov.github.io/deep_image_prior.
"""

from __future__ import annotations

import argparse
import csv
import os
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from benchmarks.report import FORMAT, RESULTS, ROOT, data_folder, environment, folder_name, save
from fastsr.dip.method import Options
from fastsr.dip.recipes import upscale
from fastsr.evaluate import evaluate

PUBLISHED = Path(__file__).with_name("dip_published.csv")
FOLDER = ROOT / "evaluation"
TARGET = 24.15
"""Mean PSNR on Y of Set14 x8, which preset "fast" is to reach; published is 24.153."""


def measure(preset: str, factor: int, data: Path, folder: Path, device: str | None = None) -> list[dict[str, Any]]:
    """Return a row for each picture of the folder `data`, a benchmark that is called as the published one is."""
    output = folder / f"dip_{preset}_{data.name}_x{factor}"
    found = evaluate(
        "dip",
        data,
        factor=factor,
        protocol="dip",
        output=output,
        device=device,
        options=Options(preset=preset),
        show=print,
    )
    if found.failures:
        raise ArithmeticError(f"{output}: {dict(found.failures)}")
    published = read_published(data.name, factor)
    about = {"set": data.name, "preset": preset, "factor": factor, "recipe": str(upscale(preset, factor))}
    return [{**about, **asdict(row), **published[row.image]} for row in found.rows]


def read_published(dataset: str, factor: int) -> dict[str, dict[str, Any]]:
    """Return what is published of each picture: its usual name and the PSNR of the authors' pictures."""
    with open(PUBLISHED, newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["dataset"], row["factor"]) == (dataset, str(factor))]
    return {
        row["number"]: {
            "name": row["image"],
            "published_y": float(row["dip_y"]),
            "published_rgb": float(row["dip_rgb"]),
        }
        for row in rows
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows of one set, preset and factor as a Markdown table, with their mean."""
    lines = [
        "| picture | size | published Y / RGB | fastsr Y / RGB | difference on Y | seconds |",
        "|---|---|---|---|---|---|",
    ]
    keys = ("psnr_y", "psnr_rgb", "published_y", "published_rgb", "seconds")
    mean = {"name": "**mean**", **{key: fmean(row[key] for row in rows) for key in keys}}
    for row in [*rows, mean]:
        size = f"{row['width']}x{row['height']}" if "width" in row else ""
        lines.append(
            f"| {row['name']} | {size} | {row['published_y']:.2f} / {row['published_rgb']:.2f} "
            f"| {row['psnr_y']:.2f} / {row['psnr_rgb']:.2f} | {row['psnr_y'] - row['published_y']:+.2f} "
            f"| {row['seconds']:.0f} |"
        )
    return "\n".join(lines)


def run(preset: str, factor: int) -> dict[str, Any]:
    """Measure all of Set14 on the GPU, for the queue; what an interrupted run from the same sources did is kept."""
    from benchmarks.gpu_items import ITEMS
    from benchmarks.gpu_queue import fingerprint

    (item,) = (item for item in ITEMS if item.name == f"set14-{preset}-x{factor}")
    folder = FOLDER / folder_name(torch.cuda.get_device_name()) / fingerprint(item)[:12]
    rows = measure(preset, factor, data_folder() / "Set14", folder, "cuda")
    print(table(rows))
    mean, target = fmean(row["psnr_y"] for row in rows), TARGET if (preset, factor) == ("fast", 8) else None
    return {"rows": rows, "mean_psnr_y": mean, "target": target, "met": target is None or mean >= target}


def fast_x8() -> dict[str, Any]:
    """See `run`."""
    return run("fast", 8)


def fast_x4() -> dict[str, Any]:
    """See `run`."""
    return run("fast", 4)


def paper_x8() -> dict[str, Any]:
    """See `run`."""
    return run("paper", 8)


def paper_x4() -> dict[str, Any]:
    """See `run`."""
    return run("paper", 4)


def main() -> None:
    """Measure what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=("Set5", "Set14"), default=["Set14"])
    parser.add_argument("--presets", nargs="+", choices=("fast", "paper"), default=["fast"])
    parser.add_argument("--factors", nargs="+", type=int, choices=(4, 8), default=[8, 4])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where evaluations are kept (default: evaluation)")
    parser.add_argument("--results", type=Path, default=RESULTS / "dip_set14.json", help="default: %(default)s")
    arguments = parser.parse_args()
    rows = []
    for preset in arguments.presets:
        for factor in arguments.factors:
            for name in arguments.sets:
                measured = measure(preset, factor, data_folder() / name, arguments.folder)
                rows += measured
                if os.environ.get("RANK", "0") == "0":
                    print(f"\n{name} x{factor}, preset {preset}:\n\n{table(measured)}\n", flush=True)
    if os.environ.get("RANK", "0") != "0":
        return
    where = environment(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    save(arguments.results, {"format": FORMAT, **where, "rows": rows})


if __name__ == "__main__":
    main()
