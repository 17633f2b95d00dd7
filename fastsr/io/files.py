"""Files and folders: existence, writable folders, atomic writes, and settings stored as JSON."""

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

from ..checks import spell
from ..errors import FastsrError, InputError, MissingFileError, OutputError
from .locks import new_and_held, remove_unless_held

TEMPORARY = f".{'[0-9a-f]' * 8}.tmp"
"""Glob pattern of the names that files have until they are complete."""


def is_folder(path: Path, what: str) -> bool:
    """Whether `path` is a folder rather than a file; errors call it `what`.

    Raises:
        MissingFileError: the path does not exist.
        InputError: the path cannot be accessed.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a name with a null byte
        raise MissingFileError(f"{what} does not exist") from error
    except OSError as error:
        raise InputError(f"{what} cannot be read: {error.strerror}") from error


def exists(path: Path, what: str) -> bool:
    """Whether a file or folder `path` exists; errors call it `what`.

    Raises:
        InputError: the path cannot be accessed.
    """
    try:
        is_folder(path, what)
    except MissingFileError:
        return False
    return True


def prepare_folder(folder: Path) -> None:
    """Create `folder` if it is missing, and check that files can be written in it: before the work, not after.

    Unfinished files that killed processes left are removed: half a checkpoint is large.

    Raises:
        OutputError: the folder cannot be created, or nothing can be written in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for unfinished in folder.glob(TEMPORARY):
            remove_unless_held(unfinished)
        _probe(_temporary(folder))
    except OSError as error:
        raise OutputError(f"output folder {str(folder)!r} is not writable: {error.strerror}") from error


def _probe(path: Path) -> None:
    """Create a file and remove it."""
    path.touch(exist_ok=False)
    path.unlink(missing_ok=True)  # another process that removes unfinished files may have been first


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` when the block ends; if the block fails, `path` stays as it was.

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
                file.close()  # Windows does not rename an open file
            os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):  # the first error is the one to report
            temporary.unlink()
        if isinstance(error, OSError) and not isinstance(error, FastsrError):
            raise OutputError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error
        raise


def _temporary(folder: Path) -> Path:
    """Return a new name in the folder of the final file, because `os.replace` does not cross file systems.

    The name is short and independent of the final one, which may already be as long as the file system allows.
    """
    return folder / f".{secrets.token_hex(4)}.tmp"


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        InputError: the file cannot be read, or holds something else than an object.
    """
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{str(path)!r} cannot be read: it holds {type(values).__name__}, not an object")
    return values


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write an object as a JSON file, atomically; numbers must be finite."""
    with atomic_write(path) as file:
        file.write(json.dumps(values, indent=2, allow_nan=False).encode() + b"\n")


def require_same(path: Path, wanted: Mapping[str, Any], output: Path, holds: str) -> None:
    """Check that a folder of results was made with the same settings, so that work in it can resume.

    Args:
        path: the JSON file of the folder's settings, which may hold other values too.
        wanted: the settings of this call, values that JSON can hold.
        output: the folder, which the error names.
        holds: what the error says about the folder, such as "was prepared".

    Raises:
        InputError: a setting differs.
    """
    stored, wanted = read_json(path), json.loads(json.dumps(wanted))
    changes = [
        f"{name} was {stored.get(name)!r} and is {value!r}"
        for name, value in wanted.items()
        if stored.get(name) != value
    ]
    if changes:
        folder = spell("output", str(output))
        raise InputError(f"{folder} {holds} with other settings: {'; '.join(changes)}. Name another folder with -o")
