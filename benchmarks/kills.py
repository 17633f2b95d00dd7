"""Kill every long-running command at random moments, and see that nothing is broken and that the next call finishes.

    python -m benchmarks.kills --rounds 10 [--only "train srgan"] [--seed 1]

A round begins in an empty folder: one to three times the command is begun and ended by SIGKILL at a moment drawn evenly
from the time that an undisturbed run takes; then it runs to its end. After each kill no file under a final name may be
half written, and no process may be left. At the end there may be nothing left that commands make for themselves while
they work, and the results must be those of the undisturbed run. Where one of this does not hold, this command ends
with 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from benchmarks.robustness.commands import Work, contents, half_written, left_over, server, works

PRELOADED = [
    *("fastsr.cli", "fastsr.srgan.training", "fastsr.sr3.training", "fastsr.pulse.training", "fastsr.dip.call"),
    *("fastsr.evaluate", "fastsr.data.prepare", "fastsr.pulse.call", "fastsr.sr3.inference", "fastsr.srgan.call"),
]
"""Imported once, in the process of which the commands are forked: kills are to hit work, not imports."""
LONGEST = 600.0
"""Seconds that a command may take."""
LINGER = 20.0
"""Seconds that processes may take to see that their parent has ended."""


@dataclass
class Tally:
    """What happened to a command: the seconds of the undisturbed run, kills that came in time, and what was wrong."""

    seconds: float
    rounds: int = 0
    kills: int = 0
    late: int = 0
    problems: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="one command, by its name in the table")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, server() as address:
        chosen = works(Path(folder, "needed"), address)
        chosen = {name: work for name, work in chosen.items() if given.only in (None, name)}
        print(f"{'command':<22} {'seconds':>8} {'rounds':>7} {'kills':>6} {'late':>5}  wrong", flush=True)
        wrong = finish(fork(""))  # what the commands are forked of begins
        for name, work in chosen.items():
            tally = attack(work, Path(folder, "work"), given.rounds, random.Random(f"{given.seed} {name}"))
            wrong += len(tally.problems)
            print(
                f"{name:<22} {tally.seconds:8.2f} {tally.rounds:7} {tally.kills:6} {tally.late:5}  "
                f"{'; '.join(tally.problems) or 'nothing'}",
                flush=True,
            )
    sys.exit(1 if wrong else 0)


def attack(work: Work, folder: Path, rounds: int, chance: random.Random) -> Tally:
    """Kill a command in so many rounds, in folders below `folder`, which is emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    undisturbed = folder / "undisturbed"
    begin = time.monotonic()
    code = finish(start(work, undisturbed))
    tally = Tally(time.monotonic() - begin)
    if code:
        tally.problems.append(f"the undisturbed run ended with {code}")
        return tally
    expected = contents(undisturbed)
    for index in range(rounds):
        output = folder / str(index)
        tally.rounds += 1
        for _ in range(chance.randint(1, 3)):
            process = start(work, output)
            process.join(chance.uniform(0, tally.seconds))
            if process.exitcode is None:
                process.kill()
                tally.kills += 1
            else:
                tally.late += 1
            process.join()
            assert process.pid is not None
            if not group_ends(process.pid):
                tally.problems.append(f"round {index}: processes are left")
            tally.problems += [f"round {index}: half written: {problem}" for problem in half_written(output)]
        code = finish(start(work, output))
        if code:
            tally.problems.append(f"round {index}: the last call ended with {code}")
            continue
        left = left_over(output)
        if left:
            tally.problems.append(f"round {index}: left over: {', '.join(left)}")
        tally.problems += [f"round {index}: {problem}" for problem in differences(expected, contents(output), work)]
        shutil.rmtree(output)
    return tally


def start(work: Work, output: Path) -> BaseProcess:
    """Begin a command in a process and a group of its own, on one thread."""
    return fork(
        "import os, sys\nos.setsid()\nsys.stdout = sys.stderr = open(os.devnull, 'w')\n"
        "import torch\ntorch.set_num_threads(1)\n"
        f"{work.before}from fastsr.cli import main\nmain({[*work.words, '-o', str(output)]!r}, 'fastsr')\n"
    )


def fork(code: str) -> BaseProcess:
    """Run Python in a process that has all imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=exec, args=(code,))
    process.start()
    return process


def finish(process: BaseProcess) -> int:
    """Wait for a command, and return how it ended."""
    process.join(LONGEST)
    if process.exitcode is None:
        process.kill()
        process.join()
    assert process.exitcode is not None
    return process.exitcode


def group_ends(group: int) -> bool:
    """Whether all processes of a group end soon; they are ended where they do not."""
    deadline = time.monotonic() + LINGER
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    os.killpg(group, 9)
    return False


def differences(expected: dict[str, object], found: dict[str, object], work: Work) -> list[str]:
    """Return what is missing, what is too many and, where the command always makes the same, what is another."""
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} is too many" for name in found if name not in expected]
    if work.alike:
        problems += [f"{name} differs" for name in expected if name in found and found[name] != expected[name]]
    return problems


if __name__ == "__main__":
    main()
