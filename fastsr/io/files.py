"""Settings that a folder of results was made with, as JSON: work in it goes on only with the same ones."""

from __future__ import annotations

import json
import os
import secrets
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ..checks import input_error
from ..errors import FastsrError, InputError, MissingFileError, OutputError
from .locks import new_and_held, remove_unless_held


def is_folder(path: Path, what: str) -> bool:
    """Whether `path` is a folder, and not a file; errors call it `what`.

    Raises:
        MissingFileError: there is nothing of that name.
        InputError: it cannot be looked at.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a name with a null byte
        raise MissingFileError(f"{what} does not exist") from error
    except OSError as error:
        raise InputError(f"{what} cannot be read: {error.strerror}") from error


def exists(path: Path, what: str) -> bool:
    """Whether there is a file or folder of that name; errors call it `what`.

    Raises:
        InputError: it cannot be looked at.
    """
    try:
        is_folder(path, what)
    except MissingFileError:
        return False
    return True


TEMPORARY = f".{'[0-9a-f]' * 8}.tmp"
"""What files are called, as a glob, until they are whole."""


def prepare_folder(folder: Path) -> None:
    """Make `folder` where it is missing, and check that files can be written in it: before the work, not after.

    What killed processes were writing in it goes: half a checkpoint is large.

    Raises:
        OutputError: it cannot be made, or nothing can be written in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(TEMPORARY):
            remove_unless_held(left)
        _probe(_temporary(folder))
    except OSError as error:
        raise OutputError(f"output folder {str(folder)!r} is not writable: {error.strerror}") from error


def _probe(path: Path) -> None:
    path.touch(exist_ok=False)
    path.unlink(missing_ok=True)  # a process that removes what others left may have been first


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path` when the block ends; if it fails, `path` stays as it was.

    Raises:
        OutputError: the file cannot be written.
    """
    path = Path(path)
    temporary = _temporary(path.parent)
    try:
        with new_and_held(temporary) as file:
            yield file
            file.flush()
            if sys.platform == "win32":
                file.close()  # there an open file keeps its name
            os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):  # the first error is the one to tell
            temporary.unlink()
        if isinstance(error, OSError) and not isinstance(error, FastsrError):
            raise OutputError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error
        raise


def _temporary(folder: Path) -> Path:
    """Name a file in the folder of the final one: `os.replace` does not cross file systems.

    The name is short and not made from the final one, which may already be as long as the file system allows.
    """
    return folder / f".{secrets.token_hex(4)}.tmp"


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
        raise input_error(
            "output", str(output), f"{holds} with other settings: {'; '.join(changes)}. Name another folder with -o"
        )
