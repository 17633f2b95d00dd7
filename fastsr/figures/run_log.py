"""The log of a training, and how it is read; imports nothing that only training needs."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from ..checks import input_error
from ..errors import InputError, MissingFileError

LOSSES = "losses.jsonl"
"""The log file in the folder of a run: each line is a JSON object of a step, its stage, and mean losses or scores."""
SCORE = "val_"
"""The prefix of the names of scores."""


def read_log(run: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the lines of a run's log, without an incomplete last one, which another process may be writing.

    Raises:
        MissingFileError: the folder has no log.
        InputError: the log cannot be read, or a line is damaged.
    """
    path = Path(run) / LOSSES
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        problem = f"has no {LOSSES}" if path.parent.is_dir() else "is not a folder"
        advice = "give a folder that fastsr train writes to"
        raise input_error("run", str(run), problem, advice, kind=MissingFileError) from error
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    complete = [line for line in lines if line.endswith(b"\n")]
    return [_values(line, f"line {number} of {str(path)!r}") for number, line in enumerate(complete, 1)]


def _values(line: bytes, what: str) -> dict[str, Any]:
    """Return the values of a line, in which infinity is written as a string; errors call the line `what`."""
    try:
        values = json.loads(line)
    except ValueError as error:  # neither JSON nor UTF-8
        raise InputError(f"{what} is damaged: {error}") from error
    if not isinstance(values, dict) or not isinstance(values.get("step"), int):
        raise InputError(f"{what} is damaged: it has no step")
    if not isinstance(values.get("stage"), str):
        raise InputError(f"{what} is damaged: it has no stage")
    values = {name: math.inf if value == "inf" else value for name, value in values.items()}
    texts = [name for name, value in values.items() if name != "stage" and not isinstance(value, (int, float))]
    if texts:
        raise InputError(f"{what} is damaged: {texts[0]} is not a number")
    return values
