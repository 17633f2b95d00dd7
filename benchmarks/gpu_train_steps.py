"""Calls of `fastsr train` that are watched, and how many steps fit into the time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .gpu_train_recipes import Recipe
from .report import ROOT

INTERRUPTED = 130
"""Exit status of `fastsr train` that was stopped and has written a checkpoint."""
POLL = 0.02
"""Seconds between looks at the log."""
LINES = 50
"""Steps between lines of the log while steps are timed: from the second line on, and up to the one of `TIMED`."""
TIMED = 6
"""After this line the run is validated and shown, which is timed up to the next line."""
UNSETTLED = 1_000_000_000
"""Steps until their number is settled."""
SPARE = 0.93
"""The part of the time that is planned: not all steps of a GPU are as fast as the first ones."""


class RunError(RuntimeError):
    """A run that cannot go on, or ended otherwise than it should."""


@dataclass(frozen=True)
class Plan:
    """The steps of a run, and from what they follow.

    Attributes:
        settings: those of the recipe.
        steps: in all.
        cooldown: at the end, in which the rate falls.
        look_every: steps between validations, sheets and checkpoints.
        steps_per_second: as timed.
        look_seconds: of a validation with a sheet and a checkpoint.
        start_seconds: of a call of `fastsr train`, up to its first step.
    """

    settings: str
    steps: int
    cooldown: int
    look_every: int
    steps_per_second: float
    look_seconds: float
    start_seconds: float

    @property
    def options(self) -> list[str]:
        """Those of `fastsr train`, beside the settings of the recipe and the number of steps."""
        every = str(self.look_every)
        often = ["--log-every", "100", "--save-every", every, "--validate-every", every, "--sample-every", every]
        return [*(["--cooldown", str(self.cooldown)] if self.cooldown else []), *often]


@dataclass
class Course:
    """When a call of `fastsr train` began, and when it logged which step."""

    began: float
    marks: list[tuple[int, float]] = field(default_factory=list)

    def between(self, first: int, last: int) -> list[tuple[int, float]]:
        """Return the marks of the steps from one to another."""
        return [mark for mark in self.marks if first <= mark[0] <= last]

    def rate(self) -> float | None:
        """Return steps a second, validations included; None where too few were logged."""
        if len(self.marks) < 2:
            return None
        (first, began), (last, ended) = self.marks[0], self.marks[-1]
        return (last - first) / max(ended - began, POLL)


def time_steps(recipe: Recipe, folder: Path, end: float) -> Course | None:
    """Begin a run, and stop it once its steps are timed; None where it had to be stopped before."""
    look = TIMED * LINES
    pairs = {"--log-every": LINES, "--save-every": look, "--validate-every": look, "--sample-every": look}
    options = [str(word) for pair in pairs.items() for word in pair]
    course = train(recipe, UNSETTLED, options, folder, end, look + LINES)
    return course if course.marks and course.marks[-1][0] >= look + LINES else None


def settle(recipe: Recipe, timed: Course, done: int, seconds: float) -> Plan:
    """Return how a run of `done` steps goes on for so many more seconds.

    Raises:
        RunError: there is no time for a step.
    """
    marks, look_at = timed.between(2 * LINES, TIMED * LINES), timed.between((TIMED + 1) * LINES, UNSETTLED)[0]
    per_step = max(marks[-1][1] - marks[0][1], POLL) / (marks[-1][0] - marks[0][0])
    first = timed.marks[0]
    start = max(first[1] - timed.began - first[0] * per_step, 0.0)
    look = max(look_at[1] - marks[-1][1] - (look_at[0] - marks[-1][0]) * per_step, 0.0)
    fit = int(SPARE * (seconds - start - recipe.looks * look) / per_step)
    if fit < 1:
        raise RunError(f"{recipe.name}: {seconds:.0f} s leave no time for a step; its recipe needs more minutes")
    steps = done + fit
    cooldown = min(round(recipe.cooldown * steps), fit)  # it has not begun yet
    return Plan(recipe.settings, steps, cooldown, -(-steps // recipe.looks), 1 / per_step, look, start)


def train(
    recipe: Recipe, steps: int, options: Sequence[str], folder: Path, end: float, enough: int | None = None
) -> Course:
    """Call `fastsr train`, and stop it at a time, or when it has logged so many steps.

    Args:
        recipe: what is trained.
        steps: how many there are in all.
        options: beside those of the recipe.
        folder: of the run, in that of all runs.
        end: the time, as `time.monotonic` has it.
        enough: the steps.

    Raises:
        RunError: it failed.
    """
    words = [recipe.method, *recipe.settings.split(), recipe.steps, str(steps), *options, "-o", folder.name]
    seen = max(_logged(folder), default=0)
    course, told = Course(time.monotonic()), False
    child = start(words, folder.parent)
    try:
        while True:
            ended, now = child.poll() is not None, time.monotonic()
            new = [step for step in _logged(folder) if step > seen]
            course.marks += [(step, now) for step in new]
            seen = max(new, default=seen)
            if ended:
                break
            if not told and (now >= end or (enough is not None and seen >= enough)):
                child.terminate()
                told = True
            time.sleep(POLL)
    finally:
        if child.poll() is None:
            child.terminate()
        status = child.wait()
    if status not in (0, INTERRUPTED) and not (told and status == -signal.SIGTERM):  # it may not have listened yet
        raise RunError(f"{recipe.name}: fastsr train ended with status {status}")
    return course


def start(words: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start `fastsr train` in a folder, with the code of this repository."""
    path = [str(ROOT), str(ROOT / "kernels"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    return subprocess.Popen([sys.executable, "-m", "fastsr", "train", *words], cwd=folder, env=environment)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of the log of a run; one that is just being written is left out."""
    try:
        return [json.loads(line) for line in (folder / "losses.jsonl").read_bytes().split(b"\n")[:-1]]
    except FileNotFoundError:
        return []


def _logged(folder: Path) -> list[int]:
    """The steps of the lines of losses, which have the rate."""
    return [line["step"] for line in read_log(folder) if "rate" in line]
