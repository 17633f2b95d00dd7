"""Settings that a folder of results was made with, as JSON: work in it goes on only with the same ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import InputError
from .files import atomic_write


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{str(path)!r} cannot be read: it holds {type(found).__name__}, not an object")
    return found


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write an object as a JSON file, whole or not at all; numbers must be finite."""
    with atomic_write(path) as file:
        file.write(json.dumps(values, indent=2, allow_nan=False).encode() + b"\n")


def require_same(path: Path, wanted: Mapping[str, Any], output: Path, holds: str) -> None:
    """Raise `InputError` where the settings in a file are not those `wanted`.

    Args:
        path: of the file; it may hold more than settings.
        wanted: what JSON can hold.
        output: the folder that the error names.
        holds: what it says of the folder, such as "was prepared".
    """
    found, wanted = read_json(path), json.loads(json.dumps(wanted))
    changes = [
        f"{name} was {found.get(name)!r} and is {value!r}" for name, value in wanted.items() if found.get(name) != value
    ]
    if changes:
        raise InputError(
            f"output={str(output)!r} {holds} with other settings: {'; '.join(changes)}. Name another folder with -o"
        )
