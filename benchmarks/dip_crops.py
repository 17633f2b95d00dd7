"""Both presets of Deep Image Prior against bicubic on 128x128 centre crops of Set14.

    FASTSR_DATA=... python -m benchmarks.dip_crops

The low-resolution pictures are made as in the paper, by Pillow's Lanczos filter. Every row is written as soon as it
is measured; a second call goes on where the first one stopped. PSNR is that of the 8-bit result (protocol rgb8).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import fastsr
import torch
from fastsr.files import write_atomically
from PIL import Image

from .environment import describe_environment

SET14 = (
    "baboon barbara bridge coastguard comic face flowers foreman lenna man monarch pepper ppt3 zebra".split()
)  # in the order of the files
CROPS = ("zebra", "lenna", "ppt3", "monarch")
SIDE = 128
RESULTS = Path(__file__).parent / "results" / "dip_crops.json"


def centre_crop(name: str, data: Path) -> Image.Image:
    """Return the 128x128 centre of the picture called `name`."""
    number = SET14.index(name) + 1
    picture = Image.open(data / "Set14" / "image_SRF_4" / f"img_{number:03d}_SRF_4_HR.png").convert("RGB")
    left, top = (picture.width - SIDE) // 2, (picture.height - SIDE) // 2
    return picture.crop((left, top, left + SIDE, top + SIDE))


def measure(name: str, factor: int, method: str, data: Path) -> dict[str, Any]:
    """Return the row of one picture: PSNR on Y and RGB, and seconds."""
    original = centre_crop(name, data)
    small = original.resize((SIDE // factor,) * 2, Image.Resampling.LANCZOS)
    start = time.perf_counter()
    if method == "bicubic":
        result = fastsr.resize(small, factor)
    else:
        result = fastsr.dip(small, factor=factor, preset=method)
    seconds = time.perf_counter() - start
    return {
        "image": name,
        "factor": factor,
        "method": method,
        "psnr_y": fastsr.metrics.psnr(result, original, channel="y", shave=4),
        "psnr_rgb": fastsr.metrics.psnr(result, original, channel="rgb", shave=0),
        "seconds": seconds,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table, one line a picture and factor, with the means."""
    by_key = {(row["factor"], row["image"], row["method"]): row for row in rows}
    lines = [
        "| | bicubic Y / RGB | fast Y / RGB | seconds | paper Y / RGB | seconds | times faster |",
        "|---|---|---|---|---|---|---|",
    ]
    for factor in sorted({row["factor"] for row in rows}):
        complete = [
            [by_key[factor, name, method] for method in ("bicubic", "fast", "paper")]
            for name in CROPS
            if all((factor, name, method) in by_key for method in ("bicubic", "fast", "paper"))
        ]
        lines += [_line(f"{trio[0]['image']} x{factor}", trio) for trio in complete]
        if complete:
            means = [
                {key: sum(trio[i][key] for trio in complete) / len(complete) for key in ("psnr_y", "psnr_rgb", "seconds")}
                for i in range(3)
            ]
            lines.append(_line(f"**mean x{factor}**", means))
    return "\n".join(lines)


def _line(title: str, trio: list[dict[str, Any]]) -> str:
    bicubic, fast, paper = ([f"{row['psnr_y']:.2f} / {row['psnr_rgb']:.2f}", f"{row['seconds']:.0f}"] for row in trio)
    times = trio[2]["seconds"] / trio[1]["seconds"]
    return f"| {title} | {bicubic[0]} | {fast[0]} | {fast[1]} | {paper[0]} | {paper[1]} | {times:.1f} |"


def main() -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the rows are kept (default: %(default)s)")
    arguments = parser.parse_args()
    if "FASTSR_DATA" not in os.environ:
        parser.error("set FASTSR_DATA to the folder that holds Set14")
    data = Path(os.environ["FASTSR_DATA"])
    environment = {**describe_environment(), "threads": torch.get_num_threads()}
    report = {"environment": environment, "rows": []}
    if arguments.results.exists():
        report = json.loads(arguments.results.read_text())
    done = {(row["image"], row["factor"], row["method"]) for row in report["rows"]}
    for factor in (4, 8):
        for name in CROPS:
            for method in ("bicubic", "fast", "paper"):
                if (name, factor, method) not in done:
                    report["rows"].append(measure(name, factor, method, data))
                    write_atomically(arguments.results, json.dumps(report, indent=1).encode())
    print(table(report["rows"]))


if __name__ == "__main__":
    main()
