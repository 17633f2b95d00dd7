"""Denoising and restoration by Deep Image Prior on the pictures of the paper's tables, beside the published figures.

    FASTSR_DATA=... python -m benchmarks.dip_tasks [--presets fast paper] [--pictures hill house ...]

Denoising: colour, noise of 25 levels, PSNR on RGB, with the noise's strength unknown and known. Restoration: grey, half
of the pixels missing; beside PSNR of the result, which keeps the known pixels, that of the network's own output. Rows
are written as they are measured and not measured again.

The published figures are those of the authors' pictures at dmitryulyanov.github.io/deep_image_prior, on the same files.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import fastsr
from benchmarks.report import FORMAT, RESULTS, data_folder, environment, kept_rows, save
from benchmarks.scores import psnr
from fastsr.dip.recipes import choose

DENOISED = {
    "F16": 33.69,
    "baboon": 24.51,
    "hill": 32.09,
    "kodim01": 28.44,
    "kodim02": 32.71,
    "kodim03": 33.79,
    "kodim12": 32.68,
    "lena": 32.56,
    "peppers": 31.15,
}
"""Published PSNR in dB of Deep Image Prior; the noisy pictures have 20.2 to 20.7."""
RESTORED = {
    "Cameraman256": 29.80,
    "Lena512": 36.08,
    "barbara": 32.18,
    "boat": 33.04,
    "couple": 32.48,
    "fingerprint": 32.81,
    "hill": 32.73,
    "house": 39.00,
    "man": 32.17,
    "montage": 34.49,
    "peppers256": 33.06,
}
"""Likewise."""
SIGMA = 25
Key = tuple[str, str, str]
"""Task, picture and preset."""


def keys(presets: Sequence[str], pictures: Sequence[str] | None = None) -> list[Key]:
    """Return what is to be measured."""
    tasks = {"denoise, sigma unknown": DENOISED, "denoise, sigma known": DENOISED, "restore": RESTORED}
    return [
        (task, name, preset)
        for preset in presets
        for task, names in tasks.items()
        for name in names
        if pictures is None or name in pictures
    ]


def recipe(task: str, preset: str) -> str:
    """Return what is done, in words that change when it does."""
    sigma = SIGMA if task == "denoise, sigma known" else None
    return str(choose(task.partition(",")[0], preset, sigma=sigma))


def measure(key: Key, data: Path, device: str | None = None) -> dict[str, Any]:
    """Return the row of a picture: published PSNR and ours, steps and seconds."""
    task, name, preset = key
    folder, suffix = ("restore50", "masked") if task == "restore" else ("denoise25", "noisy")
    original, spoilt = (np.array(Image.open(data / "dip" / folder / f"{name}_{kind}.png")) for kind in ("GT", suffix))
    last: list[Any] = []

    def remember(step: int, image: torch.Tensor, info: Any) -> None:
        last[:] = step, image

    options: dict[str, Any] = {"preset": preset, "device": device, "progress": False, "callback": remember}
    if task == "restore":
        options |= {"task": "restore", "mask": missing(spoilt, original)}
    else:
        options |= {"task": "denoise", "sigma": SIGMA if task == "denoise, sigma known" else None}
    start = time.perf_counter()
    result = fastsr.dip(spoilt, **options)
    seconds = time.perf_counter() - start
    output = last[1][0].clamp(0, 1).permute(1, 2, 0).squeeze(-1).cpu().numpy()
    return {
        "task": task,
        "image": name,
        "preset": preset,
        "recipe": recipe(task, preset),
        "published": (RESTORED if task == "restore" else DENOISED)[name],
        "psnr": psnr(result, original, channel="rgb"),
        "psnr_of_output": psnr(output, original, channel="rgb"),
        "psnr_before": psnr(spoilt, original, channel="rgb"),
        "steps": last[0],
        "seconds": seconds,
    }


def missing(spoilt: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Return which pixels are missing, bool of the shape of the pictures.

    The files have 0 where a pixel is missing. Where the original is black, as at a border of peppers256, that hides
    which ones are known: half of them are taken to be, as everywhere else, always the same.
    """
    known = np.random.default_rng(0).random(original.shape) < 0.5
    return (spoilt == 0) & ~((original == 0) & known)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| task | picture | preset | before | published | fastsr | network's output | steps | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['task']} | {row['image']} | {row['preset']} | {row['psnr_before']:.2f} | {row['published']:.2f} "
            f"| {row['psnr']:.2f} | {row['psnr_of_output']:.2f} | {row['steps']} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines)


def run(preset: str) -> dict[str, Any]:
    """Measure all pictures on the GPU, for the queue."""
    rows = [measure(key, data_folder(), "cuda") for key in keys([preset])]
    print(table(rows))
    return {"rows": rows}


def fast() -> dict[str, Any]:
    """See `run`."""
    return run("fast")


def paper() -> dict[str, Any]:
    """See `run`."""
    return run("paper")


def main() -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", choices=("fast", "paper"), default=["fast"])
    parser.add_argument("--pictures", nargs="+", choices=sorted({*DENOISED, *RESTORED}), help="default: all")
    parser.add_argument("--results", type=Path, default=RESULTS / "dip_tasks.json", help="default: %(default)s")
    arguments = parser.parse_args()
    where = environment(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    kept = kept_rows(arguments.results, where)
    rows = {(row["task"], row["image"], row["preset"]): row for row in kept}
    rows = {key: row for key, row in rows.items() if row["recipe"] == recipe(key[0], key[2])}
    for key in keys(arguments.presets, arguments.pictures):
        if key not in rows:
            rows[key] = measure(key, data_folder())
            print(table([rows[key]]).splitlines()[-1], flush=True)
            save(arguments.results, {"format": FORMAT, **where, "rows": list(rows.values())})
    print(table([rows[key] for key in keys(("fast", "paper")) if key in rows]))


if __name__ == "__main__":
    main()
