"""What still owes a run on a GPU, and running it in order of priority within a time budget.

    python -m benchmarks.gpu_queue                     # list
    python -m benchmarks.gpu_queue run --minutes 25

An item is owed until its result file says that it was done on this device from the sources as they are now; of an item
that makes something, such as weights, any device will do. Each is run in a process of its own; a failure is recorded
with its log, and the queue goes on. What was interrupted leaves no result and is run again, and so is what says that it
is not complete. Run from the root of the repository; without an installation, set PYTHONPATH=.:kernels. What
needs pictures takes them from the folder that FASTSR_DATA names.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu_items import ITEMS, Item
from benchmarks.report import FORMAT, RESULTS, ROOT, environment, folder_name, save

OVERRUN = 3
"""An item that takes so many times its estimate is stopped, and has failed."""
LOG_CHARACTERS = 20_000


@dataclass(frozen=True)
class State:
    """What the result files say of an item."""

    name: str
    """missing, outdated, failed, unfinished or done."""
    where: str = ""
    """Device and date of the result."""

    @property
    def owed(self) -> bool:
        """Whether the item is still to be run."""
        return self.name != "done"


def fingerprint(item: Item, root: Path = ROOT) -> str:
    """Return a hash of the sources of an item.

    Raises:
        FileNotFoundError: one of its globs matches no file.
    """
    digest = hashlib.sha256()
    for pattern in item.sources:
        paths = sorted(root.glob(pattern))
        if not paths:
            raise FileNotFoundError(f"{item.name}: {pattern} matches no file below {root}")
        for path in paths:
            digest.update(f"{path.relative_to(root)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def find_state(item: Item, folders: Iterable[Path], root: Path = ROOT) -> State:
    """Return the state of an item by the results in `folders`, each that of a device; the best one counts."""
    best = State("missing")
    for folder in folders:
        path = folder / f"{item.name}.json"
        if not path.exists():
            continue
        report = json.loads(path.read_text())
        where = f"{report['device']}, {report['date'][:10]}"
        if report["format"] != FORMAT or report["fingerprint"] != fingerprint(item, root):
            best = State("outdated", where) if best.name == "missing" else best
        elif report["status"] == "done":
            return State("done", where)
        else:
            best = State(report["status"], where)
    return best


def device_folders(results: Iterable[Path]) -> list[Path]:
    """Return the folders of all devices in folders of results."""
    return [folder for each in results if each.exists() for folder in each.iterdir() if folder.is_dir()]


def folders_for(item: Item, folders: Iterable[Path], device: str | None) -> list[Path]:
    """Return those of some devices' folders whose results count for an item on a device; None for any device."""
    return [folder for folder in folders if device is None or item.anywhere or folder.name == device]


def list_items(items: Sequence[Item], folders: Sequence[Path], root: Path = ROOT, device: str | None = None) -> str:
    """Return a table of the items in order of priority, with their states on a device; None for any."""
    lines = []
    for item in sorted(items, key=lambda item: item.priority):
        state = find_state(item, folders_for(item, folders, device), root)
        text = f"{state.name} ({state.where})" if state.where else state.name
        lines.append(f"{item.priority:>2}  {item.name:<18} {text:<40} {item.minutes:>4g} min  {item.why}")
    return "\n".join(lines)


def run_items(
    items: Sequence[Item],
    results: Path,
    made_on: dict[str, Any],
    minutes: float,
    also: Path = RESULTS,
    root: Path = ROOT,
) -> int:
    """Run what is owed, best first, and what failed from the same sources last; return how many failed.

    Args:
        items: the queue.
        results: where result files are looked for, and written, in the folder of the device.
        made_on: the device and versions that each result file is to name, with the key "device".
        minutes: an item whose estimate does not fit into what is left of these is passed over.
        also: where result files are looked for as well.
        root: what the sources of the items are relative to.
    """
    device = folder_name(made_on["device"])
    (results / device).mkdir(parents=True, exist_ok=True)
    folders = device_folders((results, also))
    states = {item.name: find_state(item, folders_for(item, folders, device), root) for item in items}
    owed = [item for item in items if states[item.name].owed]
    end = time.monotonic() + 60 * minutes
    failures = 0
    for item in sorted(owed, key=lambda item: (states[item.name].name == "failed", item.priority)):
        left = end - time.monotonic()
        if 60 * item.minutes > left:
            print(f"{item.name}: passed over, needs about {item.minutes:g} min and {left / 60:.1f} are left")
            continue
        print(f"{item.name}: {item.why}", flush=True)
        header = {"format": FORMAT, "item": item.name, "fingerprint": fingerprint(item, root)}
        report = _run_item(item, left)
        if report is None:
            print(f"{item.name}: interrupted, the time is over")
            break
        failures += report["status"] == "failed"
        print(f"{item.name}: {report['status']} in {report['seconds']:.0f} s", flush=True)
        save(results / device / f"{item.name}.json", {**header, **made_on, **report})
    return failures


def _run_item(item: Item, seconds_left: float) -> dict[str, Any] | None:
    """Run an item in a process of its own; None when the time was over before it had overrun its estimate."""
    allowed = OVERRUN * 60 * item.minutes
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        answer, log = Path(folder, "answer.json"), Path(folder, "log")
        command = [sys.executable, "-u", "-m", "benchmarks.gpu_queue", "call", item.function, str(answer)]
        with log.open("wb") as output:
            # A group of its own, which can be ended as a whole; not a session, which would outlive the queue's.
            child = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, preexec_fn=os.setpgrp)
            try:
                child.wait(min(allowed, seconds_left))
            except subprocess.TimeoutExpired:
                if seconds_left < allowed:
                    return None
            finally:
                _stop(child)
        seconds = time.monotonic() - started
        text = log.read_text(errors="replace")[-LOG_CHARACTERS:]
        if child.returncode == 0 and answer.exists():
            print(text, flush=True)
            result = json.loads(answer.read_text())
            status = "unfinished" if result.get("complete") is False else "done"
            return {"status": status, "seconds": seconds, "result": result}
    overran = f"\nstopped after {seconds:.0f} s" if child.returncode == -signal.SIGKILL else ""
    print(text + overran, flush=True)
    return {"status": "failed", "seconds": seconds, "log": text + overran}


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End the child and every process that it started."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _call(function: str, answer: Path) -> None:
    module, name = function.split(":")
    save(answer, getattr(importlib.import_module(module), name)())


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 0, 1 when an item failed, or 2 when `run` finds no GPU."""
    parser = argparse.ArgumentParser(
        "gpu_queue", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command")
    lister = commands.add_parser("list", help="the items and which of them are owed (default)")
    runner = commands.add_parser("run", help="run what is owed on this machine's GPU")
    runner.add_argument("--minutes", type=float, default=25, help="time budget (default: %(default)s)")
    for command in (lister, runner):
        command.add_argument(
            "--results", type=Path, default=RESULTS, help="where result files are kept (default: %(default)s)"
        )
    caller = commands.add_parser("call", help="call one item's function and write what it returns")
    caller.add_argument("function")
    caller.add_argument("answer", type=Path)
    options = parser.parse_args((sys.argv[1:] if arguments is None else arguments) or ["list"])

    if options.command == "call":
        _call(options.function, options.answer)
        return 0
    import torch

    gpu = torch.cuda.is_available()
    if options.command == "run":
        if not gpu:
            print("no GPU on this machine: nothing was run", file=sys.stderr)
            return 2
        made_on = environment(torch.device("cuda"))
        return 1 if run_items(ITEMS, options.results, made_on, options.minutes) else 0
    device = folder_name(torch.cuda.get_device_name()) if gpu else None
    print(list_items(ITEMS, device_folders((options.results, RESULTS)), device=device))
    return 0


if __name__ == "__main__":
    sys.exit(main())
