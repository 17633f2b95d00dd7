"""What still owes a run on a GPU, and running it in order of priority within a time budget.

    python -m benchmarks.gpu_queue                     # list
    python -m benchmarks.gpu_queue run --minutes 25

An item is owed until its result file says that it was done on this device from the sources as they are now. Each is
run in a process of its own; a failure is recorded with its log, and the queue goes on. What was interrupted leaves no
result and is run again. Run from the root of the repository; without an installation, set PYTHONPATH=.:kernels. What
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

from benchmarks.report import FORMAT, RESULTS, ROOT, environment, folder_name, save

OVERRUN = 3
"""An item that takes so many times its estimate is stopped, and has failed."""
LOG_CHARACTERS = 20_000


@dataclass(frozen=True)
class Item:
    """Something to be run on a GPU."""

    name: str
    """Also that of its result file."""
    priority: int
    """1 comes first."""
    why: str
    function: str
    """`module:function`, called without arguments; it returns what JSON can hold, and raises when it fails."""
    minutes: float
    """An estimate, upwards."""
    sources: tuple[str, ...]
    """Globs, from the root: the result is outdated when one of these files changes."""


KERNELS = "kernels/fastsr_kernels/"
NOISE = (f"{KERNELS}backend.py", f"{KERNELS}noise*.py", f"{KERNELS}philox.py")
HARNESS = ("benchmarks/kernels.py", "benchmarks/measure.py", "benchmarks/timing.py")
DIP = (
    "fastsr/dip/*.py",
    *(f"fastsr/{name}.py" for name in ("allocation", "consistency", "device", "graph", "masks", "nn", "operators")),
    f"{KERNELS}*.py",
    f"{KERNELS}reflect_conv_table.json",
)
SR3 = ("fastsr/sr3/*.py", "fastsr/graph.py", "fastsr/nn.py", f"{KERNELS}*.py")
PULSE = ("fastsr/pulse/*.py", "fastsr/consistency.py", "fastsr/graph.py", f"{KERNELS}*.py")
STYLE = tuple(
    f"{KERNELS}{name}.py"
    for name in ("backend", "channel_statistics", "group_norm*", "norm_act_pad", "reflect_pad", "style*", "upsample_blur*")
)
SCORING = tuple(f"fastsr/{name}.py" for name in ("codecs", "images", "methods", "metrics", "resize"))
PROTOCOLS = ("fastsr/data/benchmarks.py", "fastsr/data/protocols.py")
SET14 = (*DIP, *SCORING, *PROTOCOLS, "fastsr/evaluate/*.py", "benchmarks/dip_set14.py", "benchmarks/dip_published.csv")
ITEMS = (
    Item(
        "kernels-correct",
        priority=1,
        why="no kernel has met a GPU until its tests have",
        function="benchmarks.correctness:run",
        minutes=6,
        sources=(f"{KERNELS}*.py", "tests/kernels/*.py", "benchmarks/correctness.py"),
    ),
    Item(
        "graphs-correct",
        priority=2,
        why="replays of the captured steps of fastsr.dip, fastsr.sr3 and fastsr.pulse, what ends a fit, and several "
        "fits at once, bit by bit",
        function="benchmarks.correctness:graphs",
        minutes=1.5,
        sources=(
            *DIP,
            *SR3,
            *PULSE,
            "tests/fastsr/test_graph.py",
            "tests/fastsr/sr3/test_graph.py",
            "tests/fastsr/pulse/test_graph.py",
            "benchmarks/correctness.py",
        ),
    ),
    Item(
        "noise",
        priority=3,
        why="bandwidth against a copy (target 85 %) and against z + sigma * randn_like",
        function="benchmarks.kernels:noise",
        minutes=1.5,
        sources=(*NOISE, *HARNESS),
    ),
    Item(
        "resample",
        priority=4,
        why="bandwidth against a copy (target 70 % at 16x3x1024x1024) and against pad + conv2d and interpolate",
        function="benchmarks.kernels:resample_op",
        minutes=2,
        sources=(f"{KERNELS}backend.py", f"{KERNELS}resample.py", f"{KERNELS}axis_table.py", *HARNESS),
    ),
    Item(
        "norms",
        priority=5,
        why="norm_act_pad (target 80 % of copy bandwidth) and upsample_norm_pad, against torch's separate steps",
        function="benchmarks.kernels:norms",
        minutes=1.5,
        sources=(
            *(f"{KERNELS}{name}.py" for name in ("backend", "channel_statistics", "*_pad", "*_pad_kernels")),
            *HARNESS,
        ),
    ),
    Item(
        "diffusion",
        priority=6,
        why="diffuse and reverse_step: bandwidth against a copy (target 80 % at 16x3x512x512) and against torch's "
        "formulas, eager and compiled",
        function="benchmarks.kernels:diffusion",
        minutes=2,
        sources=(*NOISE, "benchmarks/diffusion_cases.py", *HARNESS),
    ),
    Item(
        "group-norm",
        priority=7,
        why="group_norm with Swish and shift: bandwidth against a copy (target 80 % at 4x192x256x256) and against "
        "torch's functions, eager and compiled",
        function="benchmarks.kernels:group_norms",
        minutes=2.5,
        sources=(
            *(
                f"{KERNELS}{name}.py"
                for name in ("backend", "channel_statistics", "group_norm*", "norm_act_pad", "reflect_pad")
            ),
            *(f"benchmarks/{name}_cases.py" for name in ("diffusion", "group_norm")),
            *HARNESS,
        ),
    ),
    Item(
        "style",
        priority=8,
        why="style_epilogue: bandwidth against a copy (target 80 % at 1x16x1024x1024) and against torch's functions, "
        "eager and compiled",
        function="benchmarks.kernels:styles",
        minutes=3,
        sources=(*STYLE, *(f"benchmarks/{name}_cases.py" for name in ("diffusion", "style")), *HARNESS),
    ),
    Item(
        "blur",
        priority=9,
        why="upsample_blur and blur_downsample: bandwidth against a copy (targets 80 and 70 %) and against torch's "
        "functions, eager and compiled",
        function="benchmarks.kernels:blurs",
        minutes=2,
        sources=(f"{KERNELS}backend.py", f"{KERNELS}upsample_blur*.py", "benchmarks/blur_cases.py", *HARNESS),
    ),
    Item(
        "reflect-conv",
        priority=10,
        why="128->128 3x3 at 512x512 in bfloat16: target 60 % of the matrix rate each way, and no slower than "
        "F.pad + cuDNN; then run benchmarks.conv_table, and the queue again",
        function="benchmarks.kernels:convolutions",
        minutes=6,
        sources=(
            f"{KERNELS}backend.py",
            f"{KERNELS}reflect_conv*.py",
            f"{KERNELS}reflect_pad.py",
            "benchmarks/conv_cases.py",
            *HARNESS,
        ),
    ),
    Item(
        "dip-step",
        priority=11,
        why="milliseconds a step of fastsr.dip at 512x512 (targets: paper 2.0, fast 0.8), against a straightforward "
        "module, eager and compiled",
        function="benchmarks.dip_step:run",
        minutes=5,
        sources=(*DIP, "benchmarks/dip_step.py", "benchmarks/straightforward.py"),
    ),
    Item(
        "set14-fast-x8",
        priority=12,
        why="Set14 x8 by the paper's protocol, preset fast, beside the published pictures: mean of at least 24.15 dB",
        function="benchmarks.dip_set14:fast_x8",
        minutes=3,
        sources=SET14,
    ),
    Item(
        "set14-fast-x4",
        priority=13,
        why="Set14 x4, preset fast, beside the published pictures (mean 27.005 dB)",
        function="benchmarks.dip_set14:fast_x4",
        minutes=3,
        sources=SET14,
    ),
    Item(
        "set14-paper-x8",
        priority=14,
        why="Set14 x8, preset paper, 5000 steps a picture; goes on where it was stopped",
        function="benchmarks.dip_set14:paper_x8",
        minutes=8,
        sources=SET14,
    ),
    Item(
        "set14-paper-x4",
        priority=15,
        why="Set14 x4, preset paper, 2000 steps a picture; goes on where it was stopped",
        function="benchmarks.dip_set14:paper_x4",
        minutes=5,
        sources=SET14,
    ),
    Item(
        "dip-tasks-fast",
        priority=16,
        why="denoising and restoration on the paper's pictures, preset fast, beside the published figures",
        function="benchmarks.dip_tasks:fast",
        minutes=3,
        sources=(*DIP, *SCORING, "benchmarks/dip_tasks.py"),
    ),
    Item(
        "dip-tasks-paper",
        priority=17,
        why="the same with preset paper, 3000 and 11000 steps a picture",
        function="benchmarks.dip_tasks:paper",
        minutes=9,
        sources=(*DIP, *SCORING, "benchmarks/dip_tasks.py"),
    ),
    Item(
        "srgan-speed",
        priority=18,
        why="SRResNet x4 at 256x256 and 1024x1024 against the straightforward module, eager and compiled: seconds, "
        "peak memory, and PSNR of Set5",
        function="benchmarks.srgan_speed:run",
        minutes=4,
        sources=(
            *(f"fastsr/srgan/{name}.py" for name in ("checkpoint", "fast", "inference", "network")),
            *(f"fastsr/{name}.py" for name in ("allocation", "device", "tiling")),
            *PROTOCOLS,
            "benchmarks/srgan_speed.py",
        ),
    ),
    Item(
        "sr3-speed",
        priority=19,
        why="milliseconds a step of fastsr.sr3 with the two published U-Nets, as a graph in bfloat16, against a "
        "straightforward module, eager and compiled",
        function="benchmarks.sr3_speed:run",
        minutes=4,
        sources=(*SR3, "benchmarks/sr3_speed.py", "benchmarks/straightforward_sr3.py"),
    ),
    Item(
        "pulse-speed",
        priority=20,
        why="milliseconds a step of fastsr.pulse at 64x64, 256x256 and 1024x1024, as a graph in bfloat16, against a "
        "straightforward module, eager and compiled",
        function="benchmarks.pulse_speed:run",
        minutes=5,
        sources=(*PULSE, "benchmarks/pulse_speed.py", "benchmarks/straightforward_stylegan.py"),
    ),
    Item(
        "loader",
        priority=21,
        why="whether loading keeps up with a training step of SRGAN's first stage: crops a second of both",
        function="benchmarks.loader:run",
        minutes=3,
        sources=(
            *(f"fastsr/{name}/*.py" for name in ("data", "training")),
            *(f"fastsr/srgan/{name}.py" for name in ("losses", "network", "training", "train_parts", "train_settings")),
            *(f"fastsr/{name}.py" for name in ("allocation", "device", "resize")),
            *(f"{KERNELS}{name}.py" for name in ("axis_table", "backend", "resample")),
            "benchmarks/loader.py",
        ),
    ),
)


@dataclass(frozen=True)
class State:
    """What the result files say of an item."""

    name: str
    """missing, outdated, failed or done."""
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
            best = State("failed", where)
    return best


def list_items(items: Sequence[Item], folders: Sequence[Path], root: Path = ROOT) -> str:
    """Return a table of the items in order of priority, with their states."""
    lines = []
    for item in sorted(items, key=lambda item: item.priority):
        state = find_state(item, folders, root)
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
    folders = (results / device, also / device)
    folders[0].mkdir(parents=True, exist_ok=True)
    states = {item.name: find_state(item, folders, root) for item in items}
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
            return {"status": "done", "seconds": seconds, "result": json.loads(answer.read_text())}
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
    folders = [path for path in (options.results, RESULTS) if path.exists() for path in path.iterdir() if path.is_dir()]
    if gpu:
        name = folder_name(torch.cuda.get_device_name())
        folders = [path for path in folders if path.name == name]
    print(list_items(ITEMS, folders))
    return 0


if __name__ == "__main__":
    sys.exit(main())
