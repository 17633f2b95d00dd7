"""Whether loading keeps up with training: crops a second of the loader alone, and of a training step.

    python -m benchmarks.loader                 # on $FASTSR_DATA/bsds500/train
    python -m benchmarks.loader --data DIV2K_train_HR --device cuda

Prints a table and, without --data, writes it to docs/train.md and benchmarks/results/loader.json. Batches are of 16
crops of 96x96, from decoded pictures in memory, from the files given, and from the same pictures as PNG files and as
LMDB, which are made for the while. The step is that of SRResNet x4: copy and LR on the device, forward, backward, Adam,
in the precision that the library chooses there.
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
from torch.nn import functional as F

from fastsr.data.crops import Crops, batches, make_lr
from fastsr.data.prepare import prepare
from fastsr.data.training import find_training_pictures
from fastsr.device import resolve_device, resolve_dtype
from fastsr.srgan.network import SRResNet, SRResNetConfig

from .report import FORMAT, RESULTS, ROOT, data_folder, environment, save, write_between_marks

BATCH, CROP, FACTOR = 16, 96, 4
TRAINING = "bsds500/train"
"""Where FASTSR_DATA has the pictures."""
MARKS = ("<!-- loader -->", "<!-- end of loader -->")
WORKERS = (0, 2)
WARM_UP = 4
"""Calls."""
SECONDS = 10.0
"""Of every measurement, after warming up."""


def rate(call: Callable[[], object], seconds: float = SECONDS) -> float:
    """Return crops a second of a call that does a batch."""
    for _ in range(WARM_UP):
        call()
    start, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
        call()
        count += 1
    return count * BATCH / spent


def load(crops: Crops, workers: int, seconds: float = SECONDS) -> float:
    """Return crops a second of the loader alone."""
    with closing(batches(crops, BATCH, first=0, workers=workers)) as made:
        return rate(partial(next, made), seconds)


def step(device: torch.device) -> Callable[[], object]:
    """Return a training step on one batch of noise, which waits until it is done."""
    hr = torch.randint(256, (BATCH, 3, CROP, CROP), dtype=torch.uint8)
    network = SRResNet(SRResNetConfig(scale=FACTOR))
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # the stub lacks it
    adam = torch.optim.Adam(network.parameters(), lr=1e-4)
    dtype = resolve_dtype(None, device)

    def call() -> None:
        target = hr.to(device)
        lr = make_lr(target, FACTOR)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            result = network(lr)
        loss = F.mse_loss(result.float(), target / 255)
        adam.zero_grad()
        loss.backward()
        adam.step()
        loss.item()

    return call


def sources(folders: Sequence[Path], scratch: Path) -> Iterator[tuple[str, Sequence[Path], int | None]]:
    """Yield where pictures come from: what tables call it, the folders, and the memory to hold pictures in."""
    yield "memory", folders, None
    yield "files", folders, 0
    prepare(folders, scratch / "png", factors=[FACTOR])
    yield "PNG", [scratch / "png" / "HR"], 0
    prepare(folders, scratch / "lmdb", factors=[FACTOR], lmdb=True)
    yield "LMDB", [scratch / "lmdb" / "HR.lmdb"], 0


def measure(folders: Sequence[Path], device: torch.device, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """Return a row for the step, and one for each source and number of workers."""
    needed = rate(step(device), seconds)
    rows: list[dict[str, Any]] = [{"case": "step", "workers": None, "crops_per_second": needed, "of_step": 1.0}]
    with tempfile.TemporaryDirectory() as scratch:
        for name, found, memory in sources(folders, Path(scratch)):
            crops = Crops(find_training_pictures(found, FACTOR), CROP, FACTOR, 0, memory=memory)
            if memory is None and not crops.held:
                continue  # there are too many for the memory of this machine
            for workers in WORKERS:
                loaded = load(crops, workers, seconds)
                row = {"case": name, "workers": workers, "crops_per_second": loaded, "of_step": loaded / needed}
                rows.append(row)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what | workers | crops a second | times the step |", "|---|---|---|---|"]
    for row in rows:
        workers = "" if row["workers"] is None else row["workers"]
        lines.append(f"| {row['case']} | {workers} | {row['crops_per_second']:.0f} | {row['of_step']:.1f} |")
    return "\n".join(lines)


def run() -> dict[str, Any]:
    """Measure on the GPU, for the queue."""
    rows = measure([data_folder() / TRAINING], torch.device("cuda"))
    print(table(rows))
    return {"rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, nargs="+", metavar="DIR", help=f"only print; default: $FASTSR_DATA/{TRAINING}"
    )
    parser.add_argument("--device", help="of the step; default: cuda when present")
    options = parser.parse_args()
    device = resolve_device(options.device)
    rows = measure(options.data or [data_folder() / TRAINING], device)
    print(table(rows))
    if options.data is None:
        save(
            RESULTS / "loader.json",
            {"format": FORMAT, **environment(device), "batch": BATCH, "crop": CROP, "rows": rows},
        )
        write_between_marks(ROOT / "docs" / "train.md", MARKS, table(rows))


if __name__ == "__main__":
    main()
