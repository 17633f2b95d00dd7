"""One process at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import OutputError

if sys.platform != "win32":
    import fcntl


@contextmanager
def sole_use(lock: Path) -> Iterator[None]:
    """Wait until nobody else is in this block with the same `lock`, a file that is there meanwhile.

    A process that is killed holds nothing. On Windows there is no waiting.

    Raises:
        OutputError: the file cannot be made, or its file system has no locks.
    """
    with _held(lock, _wait):
        yield


@contextmanager
def sole_use_or_error(lock: Path, refusal: str) -> Iterator[None]:
    """Refuse instead of waiting: raise `OutputError(refusal)` where another process is in this block with `lock`.

    Processes forked in the block do not hold it, so that it is free as soon as the process that entered has ended. On
    Windows, and on file systems without locks, nobody is refused.

    Raises:
        OutputError: another process is in the block, or the file cannot be made.
    """

    def take(file: BinaryIO) -> None:
        if sys.platform != "win32":
            try:
                # of the process, where flock would be of its forks too
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                raise OutputError(refusal) from error
            except OSError:
                pass  # a file system without locks

    with _held(lock, take):
        yield


def new_and_held(path: Path) -> BinaryIO:
    """Make a file that `remove_unless_held` leaves alone until it is closed, and open it for writing.

    Raises:
        OSError: there is one of that name, or it cannot be made.
    """
    while True:
        file = open(path, "xb")  # noqa: SIM115 - the caller closes it
        if sys.platform != "win32":
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
        if _names(path, file):
            return file
        file.close()  # it was removed before it was held


def remove_unless_held(path: Path) -> None:
    """Remove a file, unless a process is writing it that opened it by `new_and_held`.

    On Windows, and on file systems without locks, nothing is removed.
    """
    if sys.platform != "win32":
        with suppress(OSError), open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _names(path, file):  # not a new one: between opening and locking another process may have removed it
                path.unlink()


@contextmanager
def _held(lock: Path, take: Callable[[BinaryIO], None]) -> Iterator[None]:
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
