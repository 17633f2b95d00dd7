"""Upscale many pictures with one call of `fastsr srgan`, and see whether its memory stays where it is.

    python -m benchmarks.soak --pictures 500 [--plot soak.png]

The pictures are of 10 kinds (grey, colour, alpha, palette, 16 bits, CMYK; PNG, JPEG, TIFF, WebP, GIF) and of 36
sizes; every fiftieth is broken, and is to be refused without ending the call. The resident memory of the process is
looked at after each picture. Its slope is that of a straight line fitted to all but the first fifth, in which caches
fill. The command ends with 1 where memory grows by more than `MOST` in all, or a result is missing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

SIDES = 16, 20, 27, 32, 48, 64
BROKEN_EVERY = 50
WARM = 0.2
MOST = 16.0
"""MiB that may be added from the end of the first fifth to the end."""
PARTS = 10
"""Rows of the table."""
KINDS = (
    *(("L", ".png"), ("RGB", ".png"), ("RGBA", ".png"), ("P", ".png"), ("I;16", ".png")),
    *(("RGB", ".jpg"), ("CMYK", ".jpg"), ("RGB", ".tif"), ("RGBA", ".webp"), ("P", ".gif")),
)


@dataclass(frozen=True)
class Sample:
    """The resident memory of the process in MiB when so many pictures were done, after so many seconds."""

    done: int
    megabytes: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        broken = make(Path(folder, "in"), given.pictures)
        samples = watch(Path(folder, "in"), Path(folder, "out"))
        made = len(list(Path(folder, "out").iterdir()))
    growth = report(samples, given.pictures, broken, made)
    if given.plot:
        plot(samples, given.plot)
    sys.exit(0 if made == given.pictures - broken and growth <= MOST else 1)


def make(folder: Path, count: int) -> int:
    """Write pictures of all kinds and many sizes; return how many of them are broken."""
    folder.mkdir()
    random = np.random.default_rng(0)
    broken = 0
    for index in range(count):
        mode, suffix = KINDS[index % len(KINDS)]
        height, width = random.choice(SIDES, 2)
        coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8)).resize((width, height))
        if mode == "I;16":
            image = Image.fromarray(np.array(coarse.convert("L")).astype(np.uint16) * 257)
        else:
            image = coarse.quantize(64) if mode == "P" else coarse.convert(mode)
        path = folder / f"{index:04}{suffix}"
        image.save(path)
        if index % BROKEN_EVERY == BROKEN_EVERY - 1:
            path.write_bytes(path.read_bytes()[:40])
            broken += 1
    return broken


def watch(source: Path, target: Path) -> list[Sample]:
    """Run `fastsr srgan`, and look at its memory each time that it says that a picture is done."""
    begin = time.monotonic()
    command = [sys.executable, "-m", "fastsr", "srgan", str(source), "-o", str(target), "--device", "cpu"]
    samples = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for done, _ in enumerate(process.stdout, 1):
            samples.append(Sample(done, resident(process.pid), time.monotonic() - begin))
    return samples


def resident(process: int) -> float:
    """Return the resident memory of a process in MiB, 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), 0.0)


def report(samples: list[Sample], pictures: int, broken: int, made: int) -> float:
    """Print a table, and return how many MiB were added after the first fifth, by the fitted line."""
    seen = [sample for sample in samples if sample.megabytes]
    warm = [sample for sample in seen if sample.done > WARM * len(samples)]
    slope = float(np.polyfit([sample.done for sample in warm], [sample.megabytes for sample in warm], 1)[0])
    growth = slope * len(warm)
    print(f"{'pictures':>8}  {'MiB':>8}  {'most MiB':>8}  {'seconds':>8}")
    step = max(1, len(seen) // PARTS)
    for end in range(step, len(seen) + 1, step):
        part = seen[end - step : end]
        most = max(sample.megabytes for sample in part)
        print(f"{part[-1].done:8}  {part[-1].megabytes:8.1f}  {most:8.1f}  {part[-1].seconds:8.0f}")
    print(
        f"{made} results of {pictures} pictures, {broken} of them broken; memory changes by {1024 * slope:+.2f} KiB a "
        f"picture after the first fifth, {growth:+.1f} MiB in all"
    )
    return growth


def plot(samples: list[Sample], path: Path) -> None:
    """Draw the memory over the pictures."""
    from matplotlib.figure import Figure

    figure = Figure((6, 3), layout="constrained")
    axes = figure.subplots()
    seen = [sample for sample in samples if sample.megabytes]
    axes.plot([sample.done for sample in seen], [sample.megabytes for sample in seen], linewidth=1)
    axes.set(xlabel="pictures done", ylabel="resident memory in MiB", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
