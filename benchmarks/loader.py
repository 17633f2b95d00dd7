"""Whether loading keeps up with training: crops a second of the loader alone, and of a training step.

    python -m benchmarks.loader                 # on $FASTSR_DATA/bsds500/train
    python -m benchmarks.loader --data DIV2K_train_HR --device cuda

Prints a table and, without --data, writes it to docs/train.md and benchmarks/results/loader.json. The step is that of
`fastsr train srgan` in the first stage, with its default settings: x4, batches of 16 crops of 96x96. A step of the
second stage takes longer. Batches are loaded from decoded pictures in memory, from the files given, and from the same
pictures as PNG files and as LMDB, which are made for the while.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fastsr.data.crops import Crops, batches
from fastsr.data.prepare import prepare
from fastsr.data.training import find_training_pictures
from fastsr.device import resolve_device
from fastsr.srgan.train_settings import TrainSettings
from fastsr.srgan.training import SRGANTraining
from fastsr.training.start import fast_arithmetic, start

from .report import FORMAT, RESULTS, ROOT, data_folder, environment, save, write_between_marks

TRAINING = "bsds500/train"
"""Where FASTSR_DATA has the pictures."""
MARKS = ("<!-- loader -->", "<!-- end of loader -->")
WARM_UP = 4
"""Calls."""
SECONDS = 10.0
"""Of every measurement, after warming up."""


def paper(folders: Sequence[Path], device: torch.device) -> TrainSettings:
    """Return the default settings, of the first stage alone: the second one would need VGG19."""
    return TrainSettings(data=tuple(map(str, folders)), device=device.type, gan_steps=0)


def rate(call: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Return calls a second."""
    for _ in range(WARM_UP):
        call()
    _finish(device)
    begin, count = time.perf_counter(), 0
    while not count or time.perf_counter() - begin < seconds:
        call()
        count += 1
    _finish(device)
    return count / (time.perf_counter() - begin)


def step(settings: TrainSettings, device: torch.device, seconds: float) -> float:
    """Return crops a second of training on one batch."""
    accelerator = start(settings, Path())
    with fast_arithmetic(device):
        training = SRGANTraining(settings, accelerator)
        batch = next(training.batches(0))
        training.prepare(0)
        for optimizer in training.optimizers().values():
            for group in optimizer.param_groups:
                group["lr"] = training.rate(0)
        return settings.batch * rate(partial(training.step, [batch]), device, seconds)


def load(crops: Crops, settings: TrainSettings, workers: int, device: torch.device, seconds: float) -> float:
    """Return crops a second of the loader alone."""
    pin = device.type == "cuda"
    with closing(batches(crops, settings.batch, first=0, workers=workers, pin=pin)) as made:
        return settings.batch * rate(partial(next, made), device, seconds)


def sources(
    folders: Sequence[str], factor: int, scratch: Path
) -> Iterator[tuple[str, Sequence[str | Path], int | None]]:
    """Yield where pictures come from: what tables call it, the folders, and the memory to hold pictures in."""
    yield "memory", folders, None
    yield "files", folders, 0
    prepare(folders, scratch / "png", factors=[factor])
    yield "PNG", [scratch / "png" / "HR"], 0
    prepare(folders, scratch / "lmdb", factors=[factor], lmdb=True)
    yield "LMDB", [scratch / "lmdb" / "HR.lmdb"], 0


def measure(settings: TrainSettings, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """Return a row for the step, and for each source one without workers and one with those of the settings."""
    device = resolve_device(settings.device)
    needed = step(settings, device, seconds)
    rows: list[dict[str, Any]] = [{"case": "step", "workers": None, "crops_per_second": needed, "of_step": 1.0}]
    with tempfile.TemporaryDirectory() as scratch:
        for name, found, memory in sources(settings.data, settings.factor, Path(scratch)):
            pictures = find_training_pictures(found, settings.factor)
            crops = Crops(pictures, settings.crop, settings.factor, settings.seed, memory=memory)
            if memory is None and not crops.held:
                continue  # there are too many for the memory of this machine
            for workers in (0, settings.readers):
                loaded = load(crops, settings, workers, device, seconds)
                row = {"case": name, "workers": workers, "crops_per_second": loaded, "of_step": loaded / needed}
                rows.append(row)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what | workers | crops a second | times the step |", "|---|---|---|---|"]
    for row in rows:
        workers = "" if row["workers"] is None else row["workers"]
        lines.append(f"| {row['case']} | {workers} | {row['crops_per_second']:.1f} | {row['of_step']:.1f} |")
    return "\n".join(lines)


def run() -> dict[str, Any]:
    """Measure on the GPU, for the queue."""
    rows = measure(paper([data_folder() / TRAINING], torch.device("cuda")))
    print(table(rows))
    return {"rows": rows}


def _finish(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, nargs="+", metavar="DIR", help=f"only print; default: $FASTSR_DATA/{TRAINING}"
    )
    parser.add_argument("--device", help="of the step; default: cuda when present")
    options = parser.parse_args()
    device = resolve_device(options.device)
    settings = paper(options.data or [data_folder() / TRAINING], device)
    rows = measure(settings)
    print(table(rows))
    if options.data is None:
        save(
            RESULTS / "loader.json",
            {"format": FORMAT, **environment(device), "batch": settings.batch, "crop": settings.crop, "rows": rows},
        )
        write_between_marks(ROOT / "docs" / "train.md", MARKS, table(rows))


if __name__ == "__main__":
    main()
