"""The loop of training: steps, and between them logs, checkpoints, validation and samples."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator

from ..errors import InputError, TrainingError
from ..images import save
from ..progress import progress_bar
from ..run_log import SCORE
from .meter import Meter
from .method import Training
from .run_folder import RunFolder
from .seeds import seed_of
from .settings import Settings
from .start import fast_arithmetic
from .state import capture, check_weights, restore
from .stopping import Stop, stop_on_signals

AGREE_EVERY = 10
"""Steps between the times at which several processes ask each other whether one was told to stop."""
PARTS = "number of parts of a batch (processes x accumulate)"


@dataclass(frozen=True)
class Outcome:
    """How a run has ended.

    Attributes:
        step: how many steps were made, in earlier runs as well.
        finished: whether those are all; else it was told to stop.
        main: whether this process is the one, of those that share the run, that speaks for it.
    """

    step: int
    finished: bool
    main: bool


def run(
    method: Training[Any], settings: Settings, folder: RunFolder, accelerator: Accelerator, *, progress: bool = True
) -> Outcome:
    """Train until the last step, from the last checkpoint in `folder` on if there is one.

    Ctrl-C and SIGTERM let the step finish and a checkpoint be written. On one CPU with one number of threads a run that
    was ended at any moment and goes on is bitwise the same as one that was not.

    Args:
        method: what is trained.
        settings: of the run.
        folder: where it goes.
        accelerator: of `start.start`.
        progress: show a bar on a terminal, and print validations.

    Raises:
        InputError: the folder holds a run with other settings or data.
        OutputError: the folder cannot be written in, or another process trains in it.
        TrainingError: a loss or a weight is not finite; what was saved before is as it was.
    """
    return _Run(method, settings, folder, accelerator, progress and accelerator.is_main_process).go()


class _Run:
    """A run; `done` counts its steps, `best` has the best score of each stage, on `benchmark`.

    Before it looks at what the weights do, which may fail, it saves; `looked` is whether it has after the last step.
    """

    def __init__(
        self, method: Training[Any], settings: Settings, folder: RunFolder, accelerator: Accelerator, shown: bool
    ):
        self._method, self._settings, self._folder, self._accelerator = method, settings, folder, accelerator
        self._main = accelerator.is_main_process
        self._shown = shown
        self._facts = {**method.facts(), PARTS: str(accelerator.num_processes * settings.accumulate)}
        self._meter = Meter(accelerator)
        self._best: dict[str, float] = {}
        self._benchmark = ""
        self._looked = True
        self._done = 0
        self._saved = 0

    def go(self) -> Outcome:
        with self._folder.sole_use() if self._main else nullcontext():
            self._resume()
            return self._train()

    def _train(self) -> Outcome:
        settings, method, device = self._settings, self._method, self._accelerator.device
        bar = progress_bar("train", "img", shown=self._shown)
        bar.total = method.steps * settings.batch
        bar.initial = bar.n = self._done * settings.batch
        with ExitStack() as stack:
            stack.enter_context(bar)
            stop = stack.enter_context(stop_on_signals())
            stack.enter_context(fast_arithmetic(device))
            if self._done:
                self._tell(bar, f"going on after step {self._done} of {method.steps}")
            if not self._looked:
                self._look(bar)
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
                stopping = self._stopping(stop)
                self._between(stopping, bar)
                if stopping and self._done < method.steps:
                    return Outcome(self._done, False, self._main)
        self._accelerator.wait_for_everyone()  # for the last files are being written
        return Outcome(self._done, True, self._main)

    def _resume(self) -> None:
        """Load the last checkpoint, and open the folder where that left off."""
        state = self._folder.state()
        self._done = 0 if state is None else state["step"]
        self._folder.check(self._settings, state)
        if state is not None:
            self._check_facts(state["facts"])
            self._method.prepare(self._done - 1)
            restore(state, self._method, self._accelerator)
            self._meter.load(state["meter"])
            self._best, self._benchmark, self._looked = state["best"], state["benchmark"], state["looked"]
        self._accelerator.wait_for_everyone()  # for all have read what one is about to write
        if self._main:
            self._folder.open(self._settings, self._done, scored=self._looked)
        self._saved = self._done
        self._accelerator.init_trackers("fastsr", init_kwargs={"tensorboard": {"purge_step": self._done + 1}})

    def _check_facts(self, before: Mapping[str, str]) -> None:
        for name, fact in self._facts.items():
            if before.get(name) != fact:
                raise InputError(
                    f"output={str(self._folder.path)!r} holds a run of {self._done} steps in which the {name} was "
                    f"{before.get(name)}, and it is {fact}; name another folder with -o"
                )

    def _seed(self, step: int) -> None:
        """Make what is random in a step depend on nothing but the seed, its number and that of the process."""
        torch.manual_seed(seed_of(self._settings.seed, step, self._accelerator.process_index))

    def _set_rate(self, rate: float) -> None:
        for optimizer in self._method.optimizers().values():
            for group in optimizer.param_groups:
                group["lr"] = rate

    def _stopping(self, stop: Stop) -> bool:
        """Whether one of the processes was told to stop, the same in all of them."""
        if self._accelerator.num_processes == 1:
            return stop.requested
        if self._done % AGREE_EVERY:
            return False
        told = torch.tensor([int(stop.requested)], device=self._accelerator.device)
        return bool(self._accelerator.reduce(told, "sum"))

    def _due(self, every: int) -> bool:
        """Whether what is done after so many steps, and at the end of a stage, is due now."""
        done, stage = self._done, self._method.stage
        return done % every == 0 or done == self._method.steps or stage(done) != stage(done - 1)

    def _between(self, stopping: bool, bar: Any) -> None:
        """Do what is due after a step."""
        settings, method, step = self._settings, self._method, self._done - 1
        logs = self._due(settings.log_every)
        self._looked = not (self._due(settings.validate_every) or self._due(settings.sample_every))
        keeps = stopping or not self._looked or self._due(settings.save_every)
        if logs or keeps or (self._accelerator.num_processes == 1 and self._accelerator.device.type == "cpu"):
            self._check(keeps)
        if logs:
            means = self._meter.read()
            bar.set_postfix(means, refresh=False)
            self._log({"step": self._done, "stage": method.stage(step), "rate": method.rate(step), **means})
        if keeps:
            self._save()
        if not self._looked:
            self._look(bar)

    def _look(self, bar: Any) -> None:
        """Validate, and show samples, where that is due."""
        if self._main and self._due(self._settings.validate_every):
            self._validate(self._method.stage(self._done - 1), bar)
        if self._main and self._due(self._settings.sample_every):
            save(self._method.samples(), self._folder.sheet(self._done))
        self._looked = True
        self._save()

    def _check(self, keeps: bool) -> None:
        """Raise `TrainingError` for a loss that is not finite and, before weights are kept, for such weights."""
        try:
            self._meter.check()
            if keeps:
                check_weights(self._method, self._done)
        except TrainingError as error:
            raise TrainingError(f"{error}; {self._way_on()}") from error

    def _way_on(self) -> str:
        """Say what to do about numbers that are not finite."""
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
        self._tell(bar, f"step {self._done}: " + ", ".join(f"{name} {score:.4f}" for name, score in scores.items()))
        if self._benchmark != self._method.benchmark:
            self._best, self._benchmark = {}, self._method.benchmark
        first = next(iter(scores.values()))
        if first > self._best.get(stage, float("-inf")):
            self._best[stage] = first
            self._method.export(self._folder.weights(f"{stage}_best"))

    def _save(self) -> None:
        self._meter.share()
        if self._main:
            state = {
                **capture(self._method, self._accelerator),
                "step": self._done,
                "facts": self._facts,
                "meter": self._meter.state(),
                "best": self._best,
                "benchmark": self._benchmark,
                "looked": self._looked,
            }
            self._method.export(self._folder.weights(self._method.stage(self._done - 1)))
            self._folder.save(state)
        self._saved = self._done

    def _tell(self, bar: Any, line: str) -> None:
        if self._shown:
            bar.write(line)
