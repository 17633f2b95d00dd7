"""Train the weights of `benchmarks.gpu_train_recipes` on a GPU that is there for minutes, or on several in turn.

    FASTSR_DATA=... python -m benchmarks.gpu_train prepare           # needs no GPU
    python -m benchmarks.gpu_train run srresnet-x4 --minutes 8.5
    python -m benchmarks.gpu_train pieces srresnet-x4 --from 4       # those that could not come back at once
    python -m benchmarks.gpu_train join srresnet-x4                  # from pieces to the folder of a run

How many steps fit is found out on the machine: the first few hundred are timed, then the number is settled, and the run
goes on with it. So the rate falls when it should, and no step is lost. A second call goes on where the first one was
stopped, on another machine from the pieces of the first.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastsr.checksums import digest_of

from .gpu_train_data import prepare, table
from .gpu_train_pieces import LARGEST, cut, find_pieces, join, pack, unpack
from .gpu_train_recipes import RECIPES, START, Recipe
from .gpu_train_steps import Course, Plan, RunError, read_log, settle, time_steps, train
from .report import ROOT, data_folder, save

PLAN, REPORT = "plan.json", "report.json"
MOST_FILES, MOST_BYTES = 7, 63 * 2**20
"""What is written at once: it comes back from a GPU with at most 8 files and 64 MiB, of which others need a little."""
RESERVE = 25.0
"""Seconds kept at the end for the checkpoint and the pieces."""
LONGER = 0.5
"""Minutes that the queue gives a recipe beyond its own, where steps were slower than they were when they were timed."""


@dataclass(frozen=True)
class Places:
    """Folders.

    Attributes:
        data: as `prepare` makes it.
        runs: of the runs, each under the name of its recipe.
        pieces: of runs that are not there.
        out: for what is to come back.
    """

    data: Path = ROOT / "training" / "data"
    runs: Path = ROOT / "training" / "runs"
    pieces: Path = ROOT / "training" / "pieces"
    out: Path = ROOT / "training" / "out"


def run(recipe: Recipe, minutes: float, places: Places) -> dict[str, Any]:
    """Train until all steps are done or the time is over, and write what is to come back; return a report.

    Args:
        recipe: what is trained.
        minutes: in which this returns.
        places: where everything is.

    Raises:
        PiecesError: there are pieces of the run, and they do not make a whole.
        RunError: `fastsr train` failed, or the run was begun with other settings than those of the recipe.
        FileNotFoundError: data are missing, or the weights that the recipe begins with.
    """
    began = time.monotonic()
    end = began + 60 * minutes - RESERVE
    folder = places.runs / recipe.name
    plan, course = _begin(recipe, places), None
    if plan is None and (timed := time_steps(recipe, folder, end)) is not None:
        left = began + 60 * recipe.minutes - RESERVE - time.monotonic()
        plan = settle(recipe, timed, _steps(folder), left)
        save(folder / PLAN, asdict(plan))
    if plan is not None and _steps(folder) < plan.steps and time.monotonic() < end:
        course = train(recipe, plan.steps, plan.options, folder, end)
    report = {**_report(recipe, folder, plan, course), "seconds": time.monotonic() - began}
    save(folder / REPORT, report)
    return {**report, **write_out(recipe, places)}


def write_out(recipe: Recipe, places: Places, first: int = 1) -> dict[str, Any]:
    """Write what is to come back: weights, log, the last sheet, and the folder of the run in pieces.

    As many pieces are written as can come back at once; the others are left for a call with another `first`. Of a run
    that is done they lack what is needed only to go on.

    Args:
        recipe: what was trained.
        places: where everything is.
        first: the number of the first piece; from the second one on there is nothing but pieces.

    Returns:
        "files", the names of what was written, and "pieces", how many there are in all.
    """
    folder, out = places.runs / recipe.name, places.out
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob(f"{recipe.name}.*"):
        old.unlink()
    written: list[Path] = []
    if first == 1:
        weights, sheets = _weights(recipe, folder), sorted((folder / "samples").glob("*.png"))
        for file in (weights, folder / "losses.jsonl", *sheets[-1:]):
            if file.exists() and file.stat().st_size <= LARGEST:
                written.append(out / f"{recipe.name}{file.suffix}")
                shutil.copyfile(file, written[-1])
    room = MOST_BYTES - sum(file.stat().st_size for file in written)
    most = min(room // LARGEST, MOST_FILES - len(written))
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        archive = Path(scratch, "archive")
        pack(folder, _kept(recipe, folder), archive)
        count, pieces = cut(archive, recipe.name, out, range(first, first + most))
    return {"files": [file.name for file in (*written, *pieces)], "pieces": count}


def join_pieces(recipe: Recipe, places: Places) -> None:
    """Make the folder of a run of its pieces.

    Raises:
        PiecesError: they do not make a whole.
        FileExistsError: there is such a folder.
    """
    folder = places.runs / recipe.name
    if folder.exists():
        raise FileExistsError(f"{folder} is there already; move it away to take the pieces")
    places.runs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=places.runs) as scratch:
        archive, made = Path(scratch, "archive"), Path(scratch, "run")
        join(recipe.name, places.pieces, archive)
        unpack(archive, made)
        made.rename(folder)


def _begin(recipe: Recipe, places: Places) -> Plan | None:
    """Find the folder of the run, or make it; return the plan, or None for a run whose steps have yet to be timed."""
    folder, seen = places.runs / recipe.name, places.runs / "data"
    for name in recipe.folders:
        if not (places.data / name).exists():
            raise FileNotFoundError(f"{places.data / name} is missing; it is made by benchmarks.gpu_train prepare")
    places.runs.mkdir(parents=True, exist_ok=True)
    seen.unlink(missing_ok=True)
    seen.symlink_to(places.data.resolve())  # the settings of a run have the same paths on every machine
    if not folder.exists() and find_pieces(recipe.name, places.pieces):
        join_pieces(recipe, places)
    if (folder / PLAN).exists():
        plan = Plan(**json.loads((folder / PLAN).read_text()))
        if plan.settings != recipe.settings:
            raise RunError(f"{folder} was begun with other settings, {plan.settings!r}; move it away to begin anew")
        return plan
    weights = None if recipe.start is None else _start(RECIPES[recipe.start], places)
    shutil.rmtree(folder, ignore_errors=True)  # the few steps of a run that was stopped while they were timed
    folder.mkdir()
    if weights is not None:
        shutil.copyfile(weights, folder / START)
    return None


def _start(recipe: Recipe, places: Places) -> Path:
    """The weights of a recipe of which all steps are done: those of its run, or given ones."""
    folder, given = places.runs / recipe.name, places.data / f"{recipe.name}.safetensors"
    if _complete(folder):
        return _weights(recipe, folder)
    if given.exists():
        return given
    raise FileNotFoundError(f"{folder} is no run that is complete, and there is no {given}; run {recipe.name} first")


def _weights(recipe: Recipe, folder: Path) -> Path:
    return folder / "checkpoints" / f"{recipe.stage}.safetensors"


def _complete(folder: Path) -> bool:
    report = folder / REPORT
    return report.exists() and bool(json.loads(report.read_text())["complete"])


def _steps(folder: Path) -> int:
    """How many steps a run has made."""
    from fastsr.training.run_folder import RunFolder

    if _complete(folder):  # it may have come back without its checkpoint
        return int(json.loads((folder / REPORT).read_text())["steps"])
    state = RunFolder(folder).state()
    return 0 if state is None else int(state["step"])


def _report(recipe: Recipe, folder: Path, plan: Plan | None, course: Course | None) -> dict[str, Any]:
    """What a run has come to; the rate is that of the last call."""
    lines, steps = read_log(folder), _steps(folder)
    return {
        "recipe": asdict(recipe),
        "plan": None if plan is None else asdict(plan),
        "complete": plan is not None and steps == plan.steps,
        "steps": steps,
        "steps_per_second": None if course is None else course.rate(),
        "losses": next((line for line in reversed(lines) if "rate" in line), None),
        "validations": [line for line in lines if "rate" not in line],
    }


def _kept(recipe: Recipe, folder: Path) -> list[Path]:
    """What the pieces of a run hold."""
    files = {folder / name for name in ("config.yaml", "losses.jsonl", PLAN, REPORT, START)}
    files |= set((folder / "checkpoints").glob("[!.]*"))
    if _complete(folder):
        last, best = _weights(recipe, folder), folder / "checkpoints" / f"{recipe.stage}_best.safetensors"
        files.discard(folder / "checkpoints" / "last.pt")
        if best.exists() and digest_of(best, "sha256") == digest_of(last, "sha256"):
            files.discard(best)
    return [file for file in files if file.exists()]


def queued(name: str) -> dict[str, Any]:
    """Train for the queue."""
    recipe = RECIPES[name]
    return run(recipe, recipe.minutes + LONGER, Places())


def srresnet_x4() -> dict[str, Any]:
    """See `queued`."""
    return queued("srresnet-x4")


def srresnet_x2() -> dict[str, Any]:
    """See `queued`."""
    return queued("srresnet-x2")


def srgan_x4() -> dict[str, Any]:
    """See `queued`."""
    return queued("srgan-x4")


def sr3_faces_x8() -> dict[str, Any]:
    """See `queued`."""
    return queued("sr3-faces-x8")


def faces_128() -> dict[str, Any]:
    """See `queued`."""
    return queued("faces-128")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "gpu_train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("prepare", help="make the data, of what FASTSR_DATA names")
    maker.add_argument("data", type=Path, nargs="?", default=Places.data, help="default: %(default)s")
    called: dict[str, Callable[[Recipe, Places, argparse.Namespace], object]] = {
        "run": lambda recipe, places, options: run(recipe, options.minutes, places),
        "pieces": lambda recipe, places, options: write_out(recipe, places, options.first),
        "join": lambda recipe, places, options: join_pieces(recipe, places),
    }
    for name in called:
        command = commands.add_parser(name)
        command.add_argument("name", choices=RECIPES)
        for place, path in asdict(Places()).items():
            command.add_argument(f"--{place}", type=Path, default=path, help="default: %(default)s")
        if name == "run":
            command.add_argument("--minutes", type=float, default=8.5, help="default: %(default)s")
        if name == "pieces":
            command.add_argument("--from", dest="first", type=int, required=True, help="number of the first piece")
    options = parser.parse_args(arguments)
    if options.command == "prepare":
        print(table(prepare(data_folder(), options.data)))
        return
    places = Places(options.data, options.runs, options.pieces, options.out)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the training would go on alone
    try:
        print(json.dumps(called[options.command](RECIPES[options.name], places, options), indent=1))
    except (ValueError, OSError, RunError) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
