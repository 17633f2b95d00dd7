"""Train larger versions of the bundled weights, by recipes that call `fastsr train`.

    FASTSR_DATA=... python -m benchmarks.training prepare       # needs no GPU; writes training/data
    python -m benchmarks.training run srresnet-x4 --minutes 8   # writes training/runs/srresnet-x4

A run that is stopped, here or by the queue (`python -m benchmarks.gpu_queue run`), resumes from its last checkpoint
when it is called again, also on another machine with a copy of the folder training.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT, command_parser, data_folder
from fastsr.data.prepare import prepare as prepare_squares
from fastsr.data.stored_images import PictureFile
from fastsr.io.image_paths import find_images

FOLDER = ROOT / "training"
"""Holds the data and the runs; the paths of the recipes are relative to it."""
INTERRUPTED = 130
"""Exit status of `fastsr train` when it was stopped and has written a checkpoint."""
CROP = 128
"""The largest crop of photographs; smaller photographs are left out."""
SIDES = (16, 128)
"""The sides of a face, in pixels: input and output."""
VGG = "vgg19-normalised-conv3_1.pth"


RECIPES = ROOT / "benchmarks" / "recipes"
"""For each run a YAML file of settings. With small batches a GPU would wait for the processor, which launches hundreds
of operations in each step: batches and crops are larger than on a CPU. The numbers of steps are meant for a few minutes
on an H200, where they have not been timed."""
METHODS = {
    "srresnet-x4": "srgan",
    "srresnet-x2": "srgan",
    "srgan-x4": "srgan",
    "sr3-faces-x8": "sr3",
    "faces-128": "stylegan",
}
"""The method of each recipe, as `fastsr train` calls it."""


def prepare(source: Path, folder: Path) -> None:
    """Make what is missing of the data, each part complete or not at all.

    Photographs and weights are copied as they are. Of each face there are squares with both sides of `SIDES`.

    Args:
        source: the folder that FASTSR_DATA names.
        folder: where the data goes.

    Raises:
        MissingFileError, FileNotFoundError: a part of the source is missing.
    """
    parts: dict[str, Callable[[Path], object]] = {
        "bsds500_train": partial(_copy_photographs, source / "bsds500" / "train"),
        "bsds500_test": partial(_copy_photographs, source / "bsds500" / "test"),
        "t91": partial(_copy_photographs, source / "t91"),
        "Set5": partial(shutil.copytree, source / "Set5"),
        "faces": partial(_make_squares, source / "faces" / "train"),
        "faces_val": partial(_make_squares, source / "faces" / "val"),
        VGG: partial(shutil.copyfile, source / "weights" / VGG),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in parts.items():
        if not (folder / name).exists():
            begun = folder / f".{name}"
            shutil.rmtree(begun, ignore_errors=True)
            make(begun)
            begun.rename(folder / name)


def _copy_photographs(source: Path, folder: Path) -> None:
    folder.mkdir()
    for path in find_images([source]):
        if min(PictureFile(path).sides()) >= CROP:
            shutil.copyfile(path, folder / path.name)


def _make_squares(source: Path, folder: Path) -> None:
    prepare_squares([source], folder, sizes=SIDES)
    for path in folder.iterdir():
        if path.name not in (f"lr_{SIDES[0]}", f"hr_{SIDES[1]}"):  # upscaled inputs are not trained on
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def run(name: str, minutes: float, folder: Path = FOLDER) -> dict[str, Any]:
    """Train or resume until all steps are done or the time is over.

    Args:
        name: key of `METHODS`.
        minutes: after these the run writes a checkpoint and stops.
        folder: holds `data`, as `prepare` writes it, and `runs`.

    Returns:
        The "command", whether it is "complete", and the last lines of "losses" and "validation" of its log.

    Raises:
        RuntimeError: `fastsr train` failed.
    """
    command = ["fastsr", "train", METHODS[name], "--config", str(RECIPES / f"{name}.yaml"), "-o", f"runs/{name}"]
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels"), *filter(None, [os.environ.get("PYTHONPATH")])])
    child = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env={**os.environ, "PYTHONPATH": path})
    stopped = False
    try:
        child.wait(60 * minutes)
    except subprocess.TimeoutExpired:
        stopped = True
    finally:
        child.terminate()  # it then writes a checkpoint
        status = child.wait()
    if status not in (0, INTERRUPTED) and not (stopped and status == -signal.SIGTERM):  # it had not begun to listen
        raise RuntimeError(f"{' '.join(command)} ended with status {status}")
    log = folder / "runs" / name / "losses.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return {
        "command": " ".join(command),
        "complete": status == 0,
        "losses": next((line for line in reversed(lines) if "rate" in line), None),
        "validation": next((line for line in reversed(lines) if "rate" not in line), None),
    }


def srresnet_x4() -> dict[str, Any]:
    """Train for the queue; see `run`."""
    return run("srresnet-x4", minutes=6)


def srresnet_x2() -> dict[str, Any]:
    """Train for the queue; see `run`."""
    return run("srresnet-x2", minutes=3.5)


def srgan_x4() -> dict[str, Any]:
    """Train for the queue; see `run`."""
    return run("srgan-x4", minutes=4.5)


def sr3_faces_x8() -> dict[str, Any]:
    """Train for the queue; see `run`."""
    return run("sr3-faces-x8", minutes=6)


def faces_128() -> dict[str, Any]:
    """Train for the queue; see `run`."""
    return run("faces-128", minutes=7.5)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_parser(__doc__, "training")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare", help="make the data, from the folder that FASTSR_DATA names")
    runner = commands.add_parser("run", help="train by a recipe, or resume")
    runner.add_argument("name", choices=METHODS)
    runner.add_argument("--minutes", type=float, default=8, help="default: %(default)s")
    options = parser.parse_args(arguments)
    if options.command == "prepare":
        prepare(data_folder("bsds500, t91, Set5, faces and weights"), FOLDER / "data")
    else:
        print(json.dumps(run(options.name, options.minutes), indent=1))


if __name__ == "__main__":
    main()
