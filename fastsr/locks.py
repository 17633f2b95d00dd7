"""One process at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import OutputError

if sys.platform != "win32":
    import fcntl


@contextmanager
def sole_use(lock: Path) -> Iterator[None]:
    """Wait until no other process is in this block with the same `lock`, a file that is there meanwhile.

    A process that is killed holds nothing. On Windows there is no waiting.

    Raises:
        OutputError: the file cannot be made, or its file system has no locks.
    """
    held = False
    while not held:
        try:
            file = open(lock, "ab")  # noqa: SIM115 - closed below, after the block
        except OSError as error:
            raise OutputError(f"{str(lock)!r} cannot be written: {error.strerror}") from error
        try:
            _lock(file)
            held = _names(lock, file)
            if held:
                yield
        finally:
            if held:
                lock.unlink(missing_ok=True)
            file.close()


def _lock(file: BinaryIO) -> None:
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise OutputError(
                f"{file.name!r} cannot be locked: {error.strerror}; choose a folder on another file system"
            ) from error


def _names(path: Path, file: BinaryIO) -> bool:
    """Whether `path` still is the open file: who had it locked before has deleted it."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
