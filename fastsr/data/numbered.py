"""Squares in one LMDB database under numbers, in the layout that is usual for SR3.

Its keys, in UTF-8, are

- hr_128_00031, lr_16_00031, sr_16_128_00031: the bytes of PNG files, by part and number, from 00000 on without a gap;
- length: how many numbers there are, in digits;
- name_00031: the name of the picture without suffix. Only fastsr writes it, to know what is there, and others need not
  have it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..errors import InputError
from .lmdb import META, SUFFIX, Database, read_only, read_picture
from .recipe import Made
from .sizes import find_sides, hr_part, lr_part

LENGTH, NAME = "length", "name"


@dataclass(frozen=True)
class Square:
    """A picture in the database `folder`, of the side that its key tells."""

    folder: Path
    key: str
    side: int

    @property
    def label(self) -> str:
        """The key and the database."""
        return f"{self.key!r} in {str(self.folder)!r}"

    def sides(self) -> tuple[int, int]:
        """Return height and width."""
        return self.side, self.side

    def read(self) -> Tensor:
        """Return the colours, uint8 (3, H, W)."""
        picture = read_picture(self.folder, self.key, self.label)
        if picture is None:
            raise InputError(f"{self.label} is not there any more; make the database anew")
        if picture.shape[1:] != self.sides():
            found = f"{picture.shape[2]}x{picture.shape[1]}"
            raise InputError(f"{self.label} is {found} pixels, and not {self.side}x{self.side}; make the database anew")
        return picture


class Numbered:
    """A database to which squares are added, by one process; a `Store`."""

    def __init__(self, folder: Path):
        """Open the database `folder`, which is made where it is missing.

        Raises:
            OutputError: nothing can be written there.
            InputError: the package lmdb is not installed, or the database is broken or was not made by this class.
        """
        self._database = Database(folder)
        length = self._database.get(LENGTH)
        if length is None:
            length = b"0"
            self._database.put({LENGTH: length})  # whenever this process ends, a reader knows what it is
        if not length.isdigit():
            raise InputError(
                f"{str(folder)!r} has the length {length!r}, which is no number; name another folder with -o"
            )
        self._names = {self._name(number) for number in range(int(length))}

    def has(self, part: str, name: str) -> bool:
        """Whether the database has the picture; it has all parts or none."""
        return name in self._names

    def put(self, made: Sequence[Made]) -> None:
        """Write all parts of one picture under the next number."""
        number, name = len(self._names), made[0].name
        pictures = {_key(one.part, number): one.png for one in made}
        length = str(number + 1).encode()
        self._database.put({**pictures, _key(NAME, number): os.fsencode(name), LENGTH: length})
        self._names.add(name)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _name(self, number: int) -> str:
        value = self._database.get(_key(NAME, number))
        if value is None:
            raise InputError(
                f"{str(self._database.folder)!r} has no key {_key(NAME, number)!r}, so it was not made by fastsr "
                "prepare; name another folder with -o"
            )
        return os.fsdecode(value)


def database_of(root: Path, low: int, high: int) -> Path:
    """Return the folder of the database of squares in a folder of results."""
    return root / f"squares_{low}_{high}{SUFFIX}"


def is_numbered(folder: Path) -> bool:
    """Whether a database has numbers for keys.

    Raises:
        InputError: it cannot be read, or the package lmdb is not installed.
    """
    if (folder / META).exists():  # then its keys are names
        return False
    with read_only(folder) as transaction:
        length = transaction.get(LENGTH.encode())
    return length is not None and length.isdigit()


def find_squares(folder: Path, factor: int | None) -> list[tuple[Square, Square | None]]:
    """Return HR and LR of the pictures of a database, sorted by name, or by number where they have no names.

    So the order is that of folders of the same pictures, whatever their numbers are. LR is None where there is none,
    and without a factor.

    Raises:
        InputError: it has no pictures, or none at this factor, one is missing, or the package lmdb is not installed.
    """
    with read_only(folder) as transaction:
        length = int(transaction.get(LENGTH.encode()))
        keys = {bytes(key).decode(errors="replace") for key in transaction.cursor().iternext(values=False)}
        names = [transaction.get(_key(NAME, n).encode(), f"{n:012}".encode()) for n in range(min(length, len(keys)))]
    sides = find_sides({key.rpartition("_")[0] for key in keys}, factor, folder)
    if not length or sides is None:
        raise InputError(f"data: {str(folder)!r} holds no picture; give a database with keys such as 'hr_128_00000'")
    high, low = sides
    for part in [hr_part(high)] if low is None else [hr_part(high), lr_part(low)]:
        missing = next((key for n in range(length) if (key := _key(part, n)) not in keys), None)
        if missing is not None:
            raise InputError(
                f"data: {str(folder)!r} has no key {missing!r}; its length is {length}, so it should have "
                f"{_key(part, 0)!r} to {_key(part, length - 1)!r}"
            )
    return [
        (
            Square(folder, _key(hr_part(high), number), high),
            None if low is None else Square(folder, _key(lr_part(low), number), low),
        )
        for number in sorted(range(length), key=names.__getitem__)
    ]


def _key(part: str, number: int) -> str:
    return f"{part}_{number:05}"
