"""File locks: one process at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import OutputError

if sys.platform != "win32":
    import fcntl


@contextmanager
def sole_use(lock: Path) -> Iterator[None]:
    """Wait until no other process is in this block with the same `lock`, a file that exists only meanwhile.

    A killed process releases its lock. On Windows there is no locking.

    Raises:
        OutputError: the file cannot be created, or its file system has no locks.
    """
    with _held(lock, _wait):
        yield


@contextmanager
def sole_use_or_error(lock: Path, refusal: str) -> Iterator[None]:
    """Raise `OutputError(refusal)` instead of waiting, if another process is in this block with `lock`.

    Processes forked in the block do not hold the lock, which is free as soon as the process that entered has ended. On
    Windows, and on file systems without locks, every process may enter.

    Raises:
        OutputError: another process is in the block, or the file cannot be created.
    """

    def take(file: BinaryIO) -> None:
        if sys.platform != "win32":
            try:
                # lockf locks for this process alone, flock would for its forks too
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                raise OutputError(refusal) from error
            except OSError:
                pass  # a file system without locks

    with _held(lock, take):
        yield


def new_and_held(path: Path) -> BinaryIO:
    """Create a file that `remove_unless_held` leaves alone until it is closed, and open it for writing.

    Raises:
        OSError: a file of that name exists, or it cannot be created.
    """
    while True:
        file = open(path, "xb")  # noqa: SIM115 - the caller closes it
        if sys.platform != "win32":
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
        if _names(path, file):
            return file
        file.close()  # it was removed before it was locked


def remove_unless_held(path: Path) -> None:
    """Remove a file, unless a process that opened it by `new_and_held` is still writing it.

    On Windows, and on file systems without locks, nothing is removed.
    """
    if sys.platform != "win32":
        with suppress(OSError), open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _names(path, file):  # else another process removed it between opening and locking
                path.unlink()


@contextmanager
def _held(lock: Path, take: Callable[[BinaryIO], None]) -> Iterator[None]:
    """Hold the file `lock` while the block runs; `take` locks the open file or raises an error."""
    held = False
    while not held:
        try:
            file = open(lock, "ab")  # noqa: SIM115 - closed below, after the block
        except OSError as error:
            raise OutputError(f"{str(lock)!r} cannot be written: {error.strerror}") from error
        try:
            take(file)
            held = _names(lock, file)
            if held:
                yield
        finally:
            if held:
                lock.unlink(missing_ok=True)
            file.close()


def _wait(file: BinaryIO) -> None:
    """Wait for the lock of an open file."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise OutputError(
                f"{file.name!r} cannot be locked: {error.strerror}; choose a folder on another file system"
            ) from error


def _names(path: Path, file: BinaryIO) -> bool:
    """Whether `path` still is the open file: the process that held the lock before has deleted it."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
