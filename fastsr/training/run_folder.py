"""The folder of a run: settings, losses, checkpoints and sample pictures.

config.yaml          all settings
losses.jsonl         a line for each mean of losses and each validation
checkpoints/last.pt  all that a run needs to go on
checkpoints/         the weights of each stage as of the last checkpoint, and the best by validation
samples/             sheets of pictures, by step
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..codecs import exists
from ..errors import InputError, OutputError
from ..files import atomic_write, prepare_folder
from ..locks import sole_use_or_error
from ..run_log import LOSSES, SCORE
from .config import read_settings, write_settings
from .settings import Settings, changes

State = dict[str, Any]


class RunFolder:
    """A folder whose files are written whole or not at all, but for the log of losses, which is mended."""

    def __init__(self, path: Path):
        self.path = path
        self._config = path / "config.yaml"
        self._losses = path / LOSSES
        self._last = path / "checkpoints" / "last.pt"

    @contextmanager
    def sole_use(self) -> Iterator[None]:
        """Keep other processes out of the folder, which is made where it is missing.

        Raises:
            OutputError: another process is in this block with the folder, or nothing can be written in it.
        """
        prepare_folder(self.path)
        refusal = f"output={str(self.path)!r} is being trained in by another process; name another folder with -o"
        with sole_use_or_error(self.path / ".lock", refusal):
            yield

    def state(self) -> State | None:
        """Return the last checkpoint, on the CPU, if there is one.

        Raises:
            InputError: it cannot be read.
        """
        if not exists(self._last, f"output={str(self.path)!r}"):
            return None
        try:
            return torch.load(self._last, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a damaged file makes of the reader
            raise InputError(f"{str(self._last)!r} cannot be read as a checkpoint: {error}") from error

    def check(self, settings: Settings, state: State | None) -> None:
        """Raise `InputError` where a run whose last checkpoint is `state` cannot go on with these settings."""
        if state is None:
            return
        done = state["step"]
        if not self._config.exists():
            raise InputError(
                f"output={str(self.path)!r} holds a run of {done} steps without config.yaml, its settings; "
                "put that back, or name another folder with -o"
            )
        before = read_settings(type(settings), self._config, {})
        different = changes(before, settings, done)
        if different:
            values = "; ".join(
                f"{name} was {getattr(before, name)!r} and is {getattr(settings, name)!r}" for name in different
            )
            raise InputError(
                f"output={str(self.path)!r} holds a run of {done} steps with other settings: {values}. "
                "Name another folder with -o"
            )

    def open(self, settings: Settings, done: int, *, scored: bool = True) -> None:
        """Begin, or go on after `done` steps: what came after them is taken from the log, and lines that are damaged.

        Args:
            settings: of the run.
            done: how many steps were made.
            scored: whether the scores of the last of them, whose names begin with `SCORE`, stay in the log.

        Raises:
            OutputError: nothing can be written in the folder.
        """
        for folder in (self.path, self._last.parent, self.path / "samples"):
            prepare_folder(folder)
        write_settings(settings, self._config)
        with atomic_write(self._losses) as file:
            file.writelines(line for line in self._lines() if _belongs(line, done, scored))

    def log(self, values: Mapping[str, Any]) -> None:
        """Append a line to the log of losses; one of `values` is the step. JSON has no number for infinity."""
        known = {name: "inf" if value == float("inf") else value for name, value in values.items()}
        try:
            with open(self._losses, "ab") as file:
                file.write(json.dumps(known, allow_nan=False).encode() + b"\n")
        except OSError as error:
            raise OutputError(f"{str(self._losses)!r} cannot be written: {error.strerror}") from error

    def save(self, state: State) -> None:
        """Write the last checkpoint in place of the one before."""
        with atomic_write(self._last) as file:
            try:
                torch.save(state, file)
            except RuntimeError as error:  # what torch makes of a write that fails
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise
            file.flush()
            os.fsync(file.fileno())  # a machine may stop as well as a process

    def weights(self, name: str) -> Path:
        """Return where the weights of a stage go."""
        return self._last.with_name(f"{name}.safetensors")

    def sheet(self, step: int) -> Path:
        """Return where the sample pictures of a step go."""
        return self.path / "samples" / f"step_{step:08}.png"

    def _lines(self) -> list[bytes]:
        """The lines of the log; one that a killed process was writing has no end, and is left out."""
        if not self._losses.exists():
            return []
        with open(self._losses, "rb") as file:
            return [line for line in file if line.endswith(b"\n")]


def _belongs(line: bytes, done: int, scored: bool) -> bool:
    """Whether a line of the log is of the first `done` steps, and in case of their last of its scores only if asked."""
    try:
        values = json.loads(line)
    except ValueError:
        return False
    if not isinstance(values, dict) or not isinstance(values.get("step"), int):
        return False
    score = any(name.startswith(SCORE) for name in values)
    return values["step"] < done or (values["step"] == done and (scored or not score))
