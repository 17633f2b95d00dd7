"""The training loop: steps, and between them logs, checkpoints, validation and sample images.

`train` is what methods call. `_Run` is the loop itself, `Meter` averages losses, and `stop_on_signals` lets a step
finish after Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor

from ..checks import input_error
from ..errors import TrainingError
from ..figures.run_log import SCORE
from ..images import save
from ..runtime.progress import progress_bar
from .accelerator import fast_arithmetic, start
from .method import Training
from .run_folder import RunFolder, capture, check_weights, restore
from .settings import Settings, seed_of

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOP_CHECK_INTERVAL = 10
"""The number of steps between the times at which several processes tell each other about a signal to stop."""
PARTS = "number of parts of a batch (processes x accumulate)"
"""The name, in errors and checkpoints, of the fact that a batch is divided into this many parts."""

Kind = TypeVar("Kind", bound=Settings)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        step: number of steps made, including those of earlier calls.
        finished: whether all steps were made; False if the run was stopped by a signal.
        main: whether this process is the main one of those that share the run.
    """

    step: int
    finished: bool
    main: bool


def train(
    method: Callable[[Kind, Accelerator], Training[Any]], settings: Kind, output: str | Path, *, progress: bool = True
) -> Outcome:
    """Train a method, or resume a run.

    Args:
        method: class, or function, that creates the method in training.
        settings: settings of the training.
        output: the run folder, see `run_folder`. If it holds a run with the same settings, the run resumes after its
            last checkpoint.
        progress: show a progress bar on a terminal, and print validations.

    Raises:
        InputError, MissingFileError: a setting, an image or a file cannot be used, or the settings differ from those
            of the run in the folder.
        OutputError: the folder is not writable, or another process trains in it.
        DeviceError: the device is not available.
        TrainingError: a loss or a weight is not finite; the last checkpoint is kept.
    """
    settings.check()
    accelerator = start(settings, Path(output))
    folder = RunFolder(Path(output))
    folder.check(settings, folder.state())  # before images are decoded and weights are loaded
    outcome = run(method(settings, accelerator), settings, folder, accelerator, progress=progress)
    accelerator.end_training()
    return outcome


def run(
    method: Training[Any], settings: Settings, folder: RunFolder, accelerator: Accelerator, *, progress: bool = True
) -> Outcome:
    """Train until the last step, resuming from the last checkpoint in `folder` if there is one.

    After Ctrl-C or SIGTERM the current step is finished and a checkpoint is written. On one CPU, with the same number
    of threads, a run that was stopped at any moment and resumed is bitwise identical to an uninterrupted one.

    Args:
        method: the method in training.
        settings: settings of the run.
        folder: the run folder.
        accelerator: accelerator from `accelerator.start`.
        progress: show a progress bar on a terminal, and print validations.

    Raises:
        InputError: the folder holds a run with other settings or data.
        OutputError: the folder is not writable, or another process trains in it.
        TrainingError: a loss or a weight is not finite; the last checkpoint is kept.
    """
    return _Run(method, settings, folder, accelerator, progress and accelerator.is_main_process).execute()


class _Run:
    """A run; `_done` counts its steps, `_saved` those of the last checkpoint.

    `_best` has the best score of each stage on the benchmark `_benchmark`. `_evaluated` tells whether the validation
    and the samples that are due after the last step are done: they can fail, so a checkpoint is written before them.
    """

    def __init__(
        self, method: Training[Any], settings: Settings, folder: RunFolder, accelerator: Accelerator, verbose: bool
    ):
        self._method, self._settings, self._folder, self._accelerator = method, settings, folder, accelerator
        self._main = accelerator.is_main_process
        self._verbose = verbose
        self._facts = {**method.facts(), PARTS: str(accelerator.num_processes * settings.accumulate)}
        self._meter = Meter(accelerator)
        self._best: dict[str, float] = {}
        self._benchmark = ""
        self._evaluated = True
        self._done = 0
        self._saved = 0

    def execute(self) -> Outcome:
        with self._folder.sole_use() if self._main else nullcontext():
            self._resume()
            return self._train()

    def _train(self) -> Outcome:
        settings, method, device = self._settings, self._method, self._accelerator.device
        bar = progress_bar("train", "img", shown=self._verbose)
        bar.total = method.steps * settings.batch
        bar.initial = bar.n = self._done * settings.batch
        with ExitStack() as stack:
            stack.enter_context(bar)
            stop = stack.enter_context(stop_on_signals())
            stack.enter_context(fast_arithmetic(device))
            if self._done:
                self._print(bar, f"resuming after step {self._done} of {method.steps}")
            if not self._evaluated:
                self._evaluate(bar)
            batches = method.batches(self._done * settings.batch)
            while self._done < method.steps:
                step = self._done
                self._seed(step)
                method.prepare(step)
                self._set_rate(method.rate(step))
                losses = method.step([next(batches) for _ in range(settings.accumulate)])
                self._done += 1
                self._meter.add(losses, self._done)
                bar.update(settings.batch)
                stopping = self._must_stop(stop)
                self._finish_step(stopping, bar)
                if stopping and self._done < method.steps:
                    return Outcome(self._done, False, self._main)
        self._accelerator.wait_for_everyone()  # the main process may still write files
        return Outcome(self._done, True, self._main)

    def _resume(self) -> None:
        """Load the last checkpoint, if there is one, and open the folder after its step."""
        state = self._folder.state()
        self._done = 0 if state is None else state["step"]
        self._folder.check(self._settings, state)
        if state is not None:
            self._check_facts(state["facts"])
            self._method.prepare(self._done - 1)
            restore(state, self._method, self._accelerator)
            self._meter.load(state["meter"])
            self._best, self._benchmark, self._evaluated = state["best"], state["benchmark"], state["looked"]
        self._accelerator.wait_for_everyone()  # all processes must have read what the main one is about to write
        if self._main:
            self._folder.open(self._settings, self._done, scored=self._evaluated)
        self._saved = self._done
        self._accelerator.init_trackers("fastsr", init_kwargs={"tensorboard": {"purge_step": self._done + 1}})

    def _check_facts(self, before: Mapping[str, str]) -> None:
        for name, fact in self._facts.items():
            if before.get(name) != fact:
                problem = (
                    f"holds a run of {self._done} steps in which the {name} was {before.get(name)}, and it is {fact}"
                )
                raise input_error("output", str(self._folder.path), problem, "name another folder with -o")

    def _seed(self, step: int) -> None:
        """Make the random numbers of a step depend only on the seed, the step and the process."""
        torch.manual_seed(seed_of(self._settings.seed, step, self._accelerator.process_index))

    def _set_rate(self, rate: float) -> None:
        for optimizer in self._method.optimizers().values():
            for group in optimizer.param_groups:
                group["lr"] = rate

    def _must_stop(self, stop: StopRequest) -> bool:
        """Return whether any process got a signal to stop; the answer is the same in all of them."""
        if self._accelerator.num_processes == 1:
            return stop.requested
        if self._done % STOP_CHECK_INTERVAL:
            return False
        requested = torch.tensor([int(stop.requested)], device=self._accelerator.device)
        return bool(self._accelerator.reduce(requested, "sum"))

    def _is_due(self, every: int) -> bool:
        """Return whether something is due that is done every so many steps and at the end of each stage."""
        done, stage = self._done, self._method.stage
        return done % every == 0 or done == self._method.steps or stage(done) != stage(done - 1)

    def _finish_step(self, stopping: bool, bar: Any) -> None:
        """Check, log, save and evaluate, as far as each is due after a step."""
        settings, method, step = self._settings, self._method, self._done - 1
        log = self._is_due(settings.log_every)
        self._evaluated = not (self._is_due(settings.validate_every) or self._is_due(settings.sample_every))
        checkpoint = stopping or not self._evaluated or self._is_due(settings.save_every)
        if log or checkpoint or (self._accelerator.num_processes == 1 and self._accelerator.device.type == "cpu"):
            self._check_finite(weights=checkpoint)
        if log:
            means = self._meter.read()
            bar.set_postfix(means, refresh=False)
            self._log({"step": self._done, "stage": method.stage(step), "rate": method.rate(step), **means})
        if checkpoint:
            self._save()
        if not self._evaluated:
            self._evaluate(bar)

    def _evaluate(self, bar: Any) -> None:
        """Validate and write samples, as far as each is due."""
        if self._main and self._is_due(self._settings.validate_every):
            self._validate(self._method.stage(self._done - 1), bar)
        if self._main and self._is_due(self._settings.sample_every):
            save(self._method.samples(), self._folder.sheet(self._done))
        self._evaluated = True
        self._save()

    def _check_finite(self, *, weights: bool) -> None:
        """Raise `TrainingError` if a loss or, before weights are saved, a weight is not finite."""
        try:
            self._meter.check()
            if weights:
                check_weights(self._method, self._done)
        except TrainingError as error:
            raise TrainingError(f"{error}; {self._advise()}") from error

    def _advise(self) -> str:
        """Return the advice for a training that has diverged."""
        change = "a smaller rate, or precision=float32 or bfloat16"
        if not self._saved:
            return f"there is no checkpoint yet. Give {change}"
        weights = self._folder.weights(self._method.stage(self._saved - 1))
        return (
            f"the last good checkpoint is of step {self._saved}. The same command would end here again: give {change}, "
            f"another folder with -o, and --init {weights}"
        )

    def _log(self, values: Mapping[str, Any]) -> None:
        if self._main:
            self._folder.log(values)
        numbers = {name: value for name, value in values.items() if name != "step" and not isinstance(value, str)}
        self._accelerator.log(numbers, step=values["step"])

    def _validate(self, stage: str, bar: Any) -> None:
        scores = self._method.validate()
        if not scores:
            return
        self._log({"step": self._done, "stage": stage, **{SCORE + name: score for name, score in scores.items()}})
        self._print(bar, f"step {self._done}: " + ", ".join(f"{name} {score:.4f}" for name, score in scores.items()))
        if self._benchmark != self._method.benchmark:
            self._best, self._benchmark = {}, self._method.benchmark
        first = next(iter(scores.values()))
        if first > self._best.get(stage, float("-inf")):
            self._best[stage] = first
            self._method.export(self._folder.weights(f"{stage}_best"))

    def _save(self) -> None:
        self._meter.reduce()
        if self._main:
            state = {
                **capture(self._method, self._accelerator),
                "step": self._done,
                "facts": self._facts,
                "meter": self._meter.state(),
                "best": self._best,
                "benchmark": self._benchmark,
                "looked": self._evaluated,
            }
            self._method.export(self._folder.weights(self._method.stage(self._done - 1)))
            self._folder.save(state)
        self._saved = self._done

    def _print(self, bar: Any, line: str) -> None:
        if self._verbose:
            bar.write(line)


class Meter:
    """Running means of losses, and for each loss the first step in which it was not finite.

    The values stay on the device until `read` or `check`: reading a number would make each step wait for the device.
    """

    def __init__(self, accelerator: Accelerator):
        self._accelerator = accelerator
        self._names: tuple[str, ...] = ()
        self._sums = self._broken = torch.empty(0)
        self._count = 0

    def add(self, losses: Mapping[str, Tensor], step: int) -> None:
        """Add the losses of step number `step`, counted from 1."""
        if self._names != tuple(losses):
            self._names = tuple(losses)
            self._clear()
        values = torch.stack([value.detach().double() for value in losses.values()])
        self._sums += values
        self._broken = torch.where((self._broken == 0) & ~values.isfinite(), step, self._broken)
        self._count += 1

    def check(self) -> None:
        """Raise `TrainingError` in all processes if a loss was not finite in any of them."""
        broken = self._accelerator.gather(self._broken).reshape(-1, len(self._names)).tolist()
        failures = [(step, name) for row in broken for step, name in zip(row, self._names, strict=True) if step]
        if failures:
            step, name = min(failures)
            raise TrainingError(f"the loss {name!r} is not finite in step {step}")

    def reduce(self) -> None:
        """Average the sums over all processes."""
        self._sums = self._accelerator.reduce(self._sums, "mean")

    def read(self) -> dict[str, float]:
        """Return the mean of each loss over the steps since the last call and over all processes, and start anew."""
        self.reduce()
        means = dict(zip(self._names, (self._sums / self._count).tolist(), strict=True))
        self._clear()
        return means

    def state(self) -> dict[str, Any]:
        """Return the sums, for a checkpoint."""
        return {"names": list(self._names), "sums": self._sums.cpu(), "count": self._count}

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from the sums of a checkpoint."""
        self._names = tuple(state["names"])
        self._clear()
        self._sums, self._count = state["sums"].to(self._accelerator.device), state["count"]

    def _clear(self) -> None:
        device = self._accelerator.device
        self._sums = torch.zeros(len(self._names), dtype=torch.float64, device=device)
        self._broken = torch.zeros(len(self._names), dtype=torch.int64, device=device)
        self._count = 0


class StopRequest:
    """Whether this process got a signal to stop."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Record the first signal of `SIGNALS` instead of ending the process; a second one has its usual effect.

    A signal to the process group also reaches processes that were forked in the block. They ignore it: the process
    that forked them ends them. Outside the main thread, which alone receives signals, nothing is changed.
    """
    stop, owner = StopRequest(), os.getpid()
    before: dict[signal.Signals, Any] = {}

    def record(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            stop.requested = True
            signal.signal(number, before[signal.Signals(number)])

    if threading.current_thread() is threading.main_thread():
        before = {each: signal.signal(each, record) for each in SIGNALS}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
