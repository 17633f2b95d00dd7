"""Where `fastsr prepare` puts what it makes: in folders, or in LMDB."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from ..errors import OutputError
from ..files import atomic_write, prepare_folder
from .lmdb import SUFFIX, Writer
from .recipe import Made


class Store(Protocol):
    """Pictures by part and name, each there whole or not at all."""

    def has(self, part: str, name: str) -> bool:
        """Whether a picture is there."""

    def put(self, made: Sequence[Made]) -> None:
        """Keep pictures.

        Raises:
            OutputError: it cannot be written.
        """

    def close(self) -> None:
        """Finish what all pictures have in common."""


class Folders:
    """Every part is a folder of PNG files."""

    def __init__(self, root: Path, parts: Iterable[str]):
        """Make the folders.

        Raises:
            OutputError: nothing can be written in one.
        """
        self._root = root
        for part in parts:
            prepare_folder(place(root, part, lmdb=False))

    def has(self, part: str, name: str) -> bool:
        """Whether the file is there, and not empty, as a machine that stops may leave it.

        Raises:
            OutputError: its name is one that the file system does not take.
        """
        path = self._path(part, name)
        try:
            return path.exists() and path.stat().st_size > 0
        except OSError as error:
            raise OutputError(f"{str(path)!r} cannot be written: {error.strerror}") from error

    def put(self, made: Sequence[Made]) -> None:
        """Write the files."""
        for one in made:
            with atomic_write(self._path(one.part, one.name)) as file:
                file.write(one.png)
                file.flush()
                os.fsync(file.fileno())  # or its name may be on the disk before it is

    def close(self) -> None:
        """Do nothing: folders have nothing beside their files."""

    def _path(self, part: str, name: str) -> Path:
        return place(self._root, part, lmdb=False) / f"{name}.png"


class Databases:
    """Every part is an LMDB database."""

    def __init__(self, root: Path, parts: Iterable[str]):
        """Open the databases.

        Raises:
            OutputError: nothing can be written in one.
            InputError: the package lmdb is not installed, or a database is broken.
        """
        self._writers = {part: Writer(place(root, part, lmdb=True)) for part in parts}

    def has(self, part: str, name: str) -> bool:
        """Whether the database has the picture."""
        return name in self._writers[part]

    def put(self, made: Sequence[Made]) -> None:
        """Write the pictures."""
        for part, writer in self._writers.items():
            writer.put({one.name: one.png for one in made if one.part == part})

    def close(self) -> None:
        """Write what tells of the pictures, and close the databases."""
        for writer in self._writers.values():
            writer.close()


def place(root: Path, part: str, *, lmdb: bool) -> Path:
    """Return the folder of a part: LR_bicubic/X4, or LR_bicubic_X4.lmdb."""
    return root / f"{part.replace('/', '_')}{SUFFIX}" if lmdb else root / part
