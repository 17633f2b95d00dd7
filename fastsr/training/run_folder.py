"""The folder of a run: settings, losses, checkpoints and sample images.

config.yaml          all settings
losses.jsonl         a line for each mean of losses and each validation
checkpoints/last.pt  the state that a run resumes from
checkpoints/         weights of each stage: those of the last checkpoint, and the best ones by validation
samples/             sheets of sample images, by step
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from ..checks import input_error, spell
from ..errors import InputError, OutputError, TrainingError
from ..figures.run_log import LOSSES, SCORE
from ..io.files import atomic_write, exists, prepare_folder
from ..io.locks import sole_use_or_error
from .method import Training
from .settings import Settings, changes, read_settings, write_settings

State = dict[str, Any]
"""The contents of last.pt."""


class RunFolder:
    """A run folder. Writes are atomic, except for lines appended to the log of losses, which `open` repairs."""

    def __init__(self, path: Path):
        self.path = path
        self._config = path / "config.yaml"
        self._losses = path / LOSSES
        self._last = path / "checkpoints" / "last.pt"

    @contextmanager
    def sole_use(self) -> Iterator[None]:
        """Keep other processes out of the folder, which is created if it is missing.

        Raises:
            OutputError: another process uses the folder, or it is not writable.
        """
        prepare_folder(self.path)
        folder = spell("output", str(self.path))
        refusal = f"{folder} is in use by another training process; name another folder with -o"
        with sole_use_or_error(self.path / ".lock", refusal):
            yield

    def state(self) -> State | None:
        """Return the last checkpoint, on the CPU; None if there is none.

        Raises:
            InputError: the checkpoint cannot be read.
        """
        if not exists(self._last, spell("output", str(self.path))):
            return None
        try:
            return torch.load(self._last, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file can raise almost anything
            raise InputError(f"{str(self._last)!r} cannot be read as a checkpoint: {error}") from error

    def check(self, settings: Settings, state: State | None) -> None:
        """Raise `InputError` if a run with the last checkpoint `state` cannot resume with these settings."""
        if state is None:
            return
        done = state["step"]
        if not self._config.exists():
            problem = f"holds a run of {done} steps without config.yaml, its settings"
            raise input_error("output", str(self.path), problem, "put that back, or name another folder with -o")
        before = read_settings(type(settings), self._config, {})
        different = changes(before, settings, done)
        if different:
            values = "; ".join(
                f"{name} was {getattr(before, name)!r} and is {getattr(settings, name)!r}" for name in different
            )
            problem = f"holds a run of {done} steps with other settings: {values}"
            raise input_error("output", str(self.path), problem, "name another folder with -o")

    def open(self, settings: Settings, done: int, *, scored: bool = True) -> None:
        """Start a run, or resume one after `done` steps: later lines and damaged ones are removed from the log.

        Args:
            settings: settings of the run.
            done: number of steps made.
            scored: whether the scores of the last step, whose names begin with `SCORE`, stay in the log.

        Raises:
            OutputError: the folder is not writable.
        """
        for folder in (self.path, self._last.parent, self.path / "samples"):
            prepare_folder(folder)
        write_settings(settings, self._config)
        with atomic_write(self._losses) as file:
            file.writelines(line for line in self._lines() if _belongs(line, done, scored))

    def log(self, values: Mapping[str, Any]) -> None:
        """Append a line to the log of losses; `values` include "step". Infinity, which JSON lacks, becomes "inf"."""
        line = {name: "inf" if value == float("inf") else value for name, value in values.items()}
        try:
            with open(self._losses, "ab") as file:
                file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
        except OSError as error:
            raise OutputError(f"{str(self._losses)!r} cannot be written: {error.strerror}") from error

    def save(self, state: State) -> None:
        """Replace the last checkpoint."""
        with atomic_write(self._last) as file:
            try:
                torch.save(state, file)
            except RuntimeError as error:  # torch wraps the error of a failed write
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise
            file.flush()
            os.fsync(file.fileno())  # the file must survive a crash of the machine

    def weights(self, name: str) -> Path:
        """Return the path of the weights of a stage."""
        return self._last.with_name(f"{name}.safetensors")

    def sheet(self, step: int) -> Path:
        """Return the path of the sample images of a step."""
        return self.path / "samples" / f"step_{step:08}.png"

    def _lines(self) -> list[bytes]:
        """Return the complete lines of the log; the last line of a killed process may be incomplete."""
        if not self._losses.exists():
            return []
        with open(self._losses, "rb") as file:
            return [line for line in file if line.endswith(b"\n")]


def _belongs(line: bytes, done: int, scored: bool) -> bool:
    """Return whether a line of the log is of the first `done` steps; scores of the last step only if `scored`."""
    try:
        values = json.loads(line)
    except ValueError:
        return False
    if not isinstance(values, dict) or not isinstance(values.get("step"), int):
        return False
    score = any(name.startswith(SCORE) for name in values)
    return values["step"] < done or (values["step"] == done and (scored or not score))


def capture(method: Training[Any], accelerator: Accelerator) -> dict[str, Any]:
    """Return the state of a method: weights, statistics, optimizers and the gradient scaler of float16."""
    scaler = accelerator.scaler
    return {
        "modules": {name: module.state_dict() for name, module in method.modules().items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in method.optimizers().items()},
        "scaler": None if scaler is None else scaler.state_dict(),
    }


def restore(state: Mapping[str, Any], method: Training[Any], accelerator: Accelerator) -> None:
    """Load the state from `capture` into a method that is prepared for the step before."""
    for name, module in method.modules().items():
        module.load_state_dict(state["modules"][name])
    for name, optimizer in method.optimizers().items():
        optimizer.load_state_dict(state["optimizers"][name])
    if accelerator.scaler is not None:
        accelerator.scaler.load_state_dict(state["scaler"])


def check_weights(method: Training[Any], step: int) -> None:
    """Raise `TrainingError` if weights or statistics are not finite after `step` steps."""
    for name, module in method.modules().items():
        tensors = [tensor for tensor in module.state_dict().values() if tensor.is_floating_point()]
        if not bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all()):
            raise TrainingError(f"weights of the {name} are not finite after step {step}")
