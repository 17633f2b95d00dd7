"""What each sampler of SR3 makes of faces in how much time: few steps against the 2000 of the paper.

    python -m benchmarks.sr3_samplers --weights FILE --data DIR

writes benchmarks/results/sr3_samplers.json, the table of docs/measured/sr3.md and docs/sr3_samples.png.

DIR holds HR pictures of one size, such as hr_64 and lr_8 of `fastsr prepare --size 8,64`, and FILE a network trained to
make them. Of the first pictures in it each sampler draws one sample, all with the same seeds. PSNR and SSIM are those
of Y (protocol rgb8), and consistency is `metrics.lr_consistency`, all without projection but in the last row. Detail is
the mean size of the gradient over that of the HR picture, 1 where there is as much of it; colour shift the mean
difference to the HR picture, of 255, in the worst channel. The seconds of the straightforward module are those of a
step in the same process times the steps.
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
from benchmarks.straightforward_sr3 import straightforward
from fastsr.data.benchmarks import find_benchmark
from fastsr.data.protocols import find_protocol
from fastsr.images import read
from fastsr.metrics import lr_consistency, psnr, ssim
from fastsr.sheets import in_columns
from fastsr.sr3.checkpoint import Checkpoint
from fastsr.sr3.formats import load
from fastsr.sr3.inference import condition_of

COURSES = (
    ("ddpm", "time", 2000),
    ("ddpm", "time", 100),
    ("ddim", "time", 100),
    ("ddim", "log-snr", 50),
    ("ddim", "log-snr", 20),
    ("dpm-solver++", "karras", 20),
    ("dpm-solver++", "log-snr", 50),
    ("dpm-solver++", "log-snr", 5),
    ("dpm-solver++", "log-snr", 10),
    ("dpm-solver++", "log-snr", 20),
)
PICTURES = 8
TIMED = 3
"""Steps of the straightforward module."""
SHOWN, ENLARGED = 4, 2
MARKS = ("<!-- samplers -->", "<!-- end of samplers -->")


def measure(
    checkpoint: Checkpoint,
    pairs: Sequence[tuple[Tensor, Tensor]],
    device: torch.device,
    courses: Sequence[tuple[str, str, int]] = COURSES,
) -> list[dict[str, Any]]:
    """Return a row for each sampler: what it gives of pairs of LR and HR, uint8 (3, H, W), and in which time."""
    assert checkpoint.factor is not None
    low, high = (torch.stack([pair[index] for pair in pairs]) for index in (0, 1))
    plain = seconds_of_plain(checkpoint, low, device)
    bicubic = fastsr.resize(low, checkpoint.factor)
    rows = [{"sampler": "bicubic", "spacing": "", "steps": 0, "seconds": 0.0, **quality(bicubic, low, high)}]
    for (sampler, spacing, steps), projected in [*((course, False) for course in courses), (courses[-1], True)]:
        start = time.perf_counter()
        made = fastsr.sr3(
            low,
            weights=checkpoint,
            sampler=sampler,
            spacing=spacing,
            steps=steps,
            consistency=projected,
            device=device,
        )
        seconds = time.perf_counter() - start
        name = f"{sampler}, projected" if projected else sampler
        times = {"seconds": seconds, "seconds_of_plain": plain * steps}
        rows.append({"sampler": name, "spacing": spacing, "steps": steps, **times, **quality(made, low, high)})
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    return rows


def picture(checkpoint: Checkpoint, pairs: Sequence[tuple[Tensor, Tensor]]) -> Image.Image:
    """Return input, results before and after projection, mean, spread and HR of some pairs, below one another."""
    assert checkpoint.factor is not None
    columns: dict[str, list[Tensor]] = {}
    for low, high in pairs:
        plain = fastsr.sr3(low, weights=checkpoint, consistency=False)
        several = fastsr.sr3(low, weights=checkpoint, samples=8)
        spread = several.spread / several.spread.max()
        for title, one in {
            "LR": low.repeat_interleave(checkpoint.factor, -1).repeat_interleave(checkpoint.factor, -2),
            "bicubic": fastsr.resize(low, checkpoint.factor),
            "sample": plain,
            "projected": several[0],
            "another": several[1],
            "mean of 8": several.mean,
            "spread": (255 * spread).byte(),
            "HR": high,
        }.items():
            columns.setdefault(title, []).append(one.repeat_interleave(ENLARGED, -1).repeat_interleave(ENLARGED, -2))
    return in_columns(list(columns.items()))


@torch.no_grad()
def seconds_of_plain(checkpoint: Checkpoint, low: Tensor, device: torch.device) -> float:
    """Return the seconds of a step of the straightforward module, float32, for all pictures in one batch."""
    network = straightforward(checkpoint.network).to(device)
    size = tuple(checkpoint.factor * side for side in low.shape[-2:])  # type: ignore[operator]
    condition = condition_of(read(low).pixels.to(device), (size[0], size[1]))
    level = torch.full((len(low),), 0.5, device=device)
    taken = []
    for _ in range(1 + TIMED):
        start = time.perf_counter()
        network(condition, torch.randn_like(condition), level)
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return median(taken[1:])


def quality(made: Tensor, low: Tensor, high: Tensor) -> dict[str, float]:
    """Return the means over pictures, uint8 (N, 3, H, W)."""
    shift = (made.float() - high.float()).mean((2, 3)).abs().amax(1).mean()
    return {
        "psnr_y": fmean(_numbers(psnr(made, high))),
        "ssim_y": fmean(_numbers(ssim(made, high))),
        "consistency": fmean(_numbers(lr_consistency(made, low))),
        "detail": fmean((gradient(one) / gradient(true)).item() for one, true in zip(made, high, strict=True)),
        "shift": shift.item(),
    }


def gradient(picture: Tensor) -> Tensor:
    """Return the mean size of the differences between neighbours."""
    values = picture.double()
    return values.diff(dim=-1).abs().mean() + values.diff(dim=-2).abs().mean()


def _numbers(found: float | list[float]) -> list[float]:
    return found if isinstance(found, list) else [found]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| sampler | spacing | steps | seconds | straightforward module, s | PSNR, dB | SSIM | consistency, dB "
        "| detail | colour shift |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        plain = f"{row['seconds_of_plain']:.1f}" if "seconds_of_plain" in row else ""
        lines.append(
            f"| {row['sampler']} | {row['spacing']} | {row['steps'] or ''} | {row['seconds']:.1f} | {plain} "
            f"| {row['psnr_y']:.2f} | {row['ssim_y']:.3f} | {row['consistency']:.1f} | {row['detail']:.2f} "
            f"| {row['shift']:.2f} |"
        )
    return "\n".join(lines)


def pairs_of(folder: Path, factor: int) -> list[tuple[Tensor, Tensor]]:
    """Return LR and HR of the first pictures of a folder."""
    protocol = find_protocol("rgb8")
    cases = [protocol.prepare(one, factor) for one in find_benchmark(folder, factor).samples[:PICTURES]]
    return [(case.lr, case.hr) for case in cases]


def main() -> None:
    """Measure; the table goes to docs/measured/sr3.md too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, help="of fastsr train sr3")
    parser.add_argument("--data", required=True, type=Path, help="folder of HR pictures")
    arguments = parser.parse_args()
    checkpoint = load(arguments.weights)
    if checkpoint.factor is None:
        raise SystemExit(f"{arguments.weights} does not say which factor it was trained for")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pairs = pairs_of(arguments.data, checkpoint.factor)
    rows = measure(checkpoint, pairs, device)
    print(table(rows))
    facts = {"weights": str(checkpoint), "pictures": PICTURES}
    save(RESULTS / "sr3_samplers.json", {"format": FORMAT, **environment(device), **facts, "rows": rows})
    write_between_marks(ROOT / "docs" / "measured" / "sr3.md", MARKS, table(rows))
    fastsr.save(picture(checkpoint, pairs[:SHOWN]), ROOT / "docs" / "sr3_samples.png")


if __name__ == "__main__":
    main()
