"""The log of a training: what it is called, and reading it. Nothing that only training needs is loaded."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from .errors import InputError, MissingFileError

LOSSES = "losses.jsonl"
"""The file in the folder of a run: on each line a JSON object of a step, its stage, and means of losses, or scores."""
SCORE = "val_"
"""What names of scores begin with."""


def read_log(run: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the lines of a run's log, but for one at its end that is not whole, as another process is writing it.

    Raises:
        MissingFileError: the folder has no log.
        InputError: the log cannot be read, or a line is damaged.
    """
    path = Path(run) / LOSSES
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        problem = f"has no {LOSSES}" if path.parent.is_dir() else "is no folder"
        raise MissingFileError(f"run={str(run)!r} {problem}; give a folder that fastsr train writes to") from error
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    whole = [line for line in lines if line.endswith(b"\n")]
    return [_values(line, f"line {number} of {str(path)!r}") for number, line in enumerate(whole, 1)]


def _values(line: bytes, what: str) -> dict[str, Any]:
    """Return a line of the log, in which infinity is text."""
    try:
        values = json.loads(line)
    except ValueError as error:  # neither JSON nor UTF-8
        raise InputError(f"{what} is damaged: {error}") from error
    if not isinstance(values, dict) or not isinstance(values.get("step"), int):
        raise InputError(f"{what} is damaged: it holds no step")
    if not isinstance(values.get("stage"), str):
        raise InputError(f"{what} is damaged: it holds no stage")
    values = {name: math.inf if value == "inf" else value for name, value in values.items()}
    texts = [name for name, value in values.items() if name != "stage" and not isinstance(value, (int, float))]
    if texts:
        raise InputError(f"{what} is damaged: {texts[0]} is no number")
    return values
