"""Pictures in LMDB, one file for many of them, in the layout of BasicSR.

A database is a folder, called name.lmdb, of

- data.mdb, of LMDB itself: the bytes of a PNG file under its name without suffix, in UTF-8;
- meta_info.txt: for each picture a line ``name.png (height,width,channels) 6``; the last number is PNG's level of
  compression, on which nothing depends.

LR pictures are in a database of their own, under the names of their HR pictures.
"""

from __future__ import annotations

import io
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image
from torch import Tensor

from ..codecs import decode_pil
from ..errors import InputError, OutputError
from ..files import atomic_write, prepare_folder
from .pictures import three_channels

SUFFIX = ".lmdb"
DATA, META = "data.mdb", "meta_info.txt"
META_LINE = re.compile(r"(?P<name>.+)\.\w+ \((?P<height>\d+), ?(?P<width>\d+), ?\d+\) \d+")
COMPRESSION = 6
FIRST_BYTES = 2**28
"""The room of a new database, which doubles when it is full."""

_turn = threading.Lock()


@dataclass(frozen=True)
class Record:
    """A picture in the database `folder`; the sides are those of meta_info.txt."""

    folder: Path
    name: str
    height: int
    width: int

    @property
    def label(self) -> str:
        """The name and the database."""
        return f"{self.name!r} in {str(self.folder)!r}"

    def sides(self) -> tuple[int, int]:
        """Return height and width."""
        return self.height, self.width

    def read(self) -> Tensor:
        """Return the colours, uint8 (3, H, W)."""
        picture = read_picture(self.folder, self.name, self.label)
        if picture is None:
            raise InputError(f"{self.label} is in {META} and not in {DATA}; make the database anew")
        if picture.shape[1:] != (self.height, self.width):
            found = f"{picture.shape[2]}x{picture.shape[1]}"
            raise InputError(f"{self.label} is {found} pixels, and {self.width}x{self.height} in {META}")
        return picture


def package() -> ModuleType:
    """Return the package lmdb.

    Raises:
        InputError: it is not installed.
    """
    try:
        import lmdb
    except ImportError as error:
        raise InputError("LMDB needs the package lmdb; install it with pip install lmdb") from error
    return lmdb


def is_database(folder: Path) -> bool:
    """Whether `folder` is an LMDB database."""
    return (folder / DATA).is_file()


def find_records(folder: Path) -> dict[str, Record]:
    """Return the pictures of a database by name, sorted.

    Raises:
        InputError: meta_info.txt is missing or is not as BasicSR writes it, or the package lmdb is not installed.
    """
    package()
    try:
        lines = (folder / META).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(
            f"data: {str(folder / META)!r} cannot be read: {error}; give a database as BasicSR's"
        ) from error
    records = {}
    for line in filter(None, lines):
        match = META_LINE.fullmatch(line)
        if match is None:
            raise InputError(
                f"data: {str(folder / META)!r} has the line {line!r}, not one like 'name.png (480,480,3) 1'"
            )
        records[match["name"]] = Record(folder, match["name"], int(match["height"]), int(match["width"]))
    if not records:
        raise InputError(f"data: {str(folder)!r} holds no picture")
    return dict(sorted(records.items()))


def read_picture(folder: Path, name: str, label: str) -> Tensor | None:
    """Return the picture that a database has under a name, uint8 (3, H, W); None where it has none.

    Raises:
        InputError: it or the database cannot be read; the message calls it `label`.
    """
    # Opened each time, which takes little beside decoding: an open database must not be taken across a fork.
    with read_only(folder) as transaction:
        value = transaction.get(name.encode())
    return None if value is None else three_channels(decode_pil(_opened(value, label), label).values)


@contextmanager
def read_only(folder: Path) -> Iterator[Any]:
    """Open a database and yield a transaction of lmdb to read in.

    A process may not open one twice, so threads take turns.

    Raises:
        InputError: it cannot be read, or the package lmdb is not installed.
    """
    with _turn, _reading(folder):
        environment = package().open(str(folder), readonly=True, lock=False, readahead=False)
        with environment, environment.begin() as transaction:
            yield transaction


class Database:
    """A database to which values are added, by one process.

    What `put` is given is in it whole or not at all, whatever stops the process.
    """

    def __init__(self, folder: Path):
        """Open the database `folder`, which is made where it is missing.

        Raises:
            OutputError: nothing can be written there.
            InputError: the package lmdb is not installed, or the database is broken.
        """
        lmdb = package()
        self.folder = folder
        prepare_folder(folder)
        data = folder / DATA
        new = not data.exists() or not data.stat().st_size
        try:
            # On a full disk the file of LMDB's locks, which is mapped into memory, would end the process.
            self._environment = lmdb.open(str(folder), map_size=FIRST_BYTES, lock=sys.platform == "win32")
        except lmdb.Error as error:
            if not new:
                raise InputError(f"data: {str(folder)!r} cannot be read: {error}") from error
            data.unlink(missing_ok=True)  # half of an empty database would be taken for a broken one
            raise OutputError(f"{str(folder)!r} cannot be written: {error}") from error

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def get(self, key: str) -> bytes | None:
        """Return the value of a key, None where there is none.

        Raises:
            InputError: the database is broken.
        """
        with _reading(self.folder), self._environment.begin() as transaction:
            return transaction.get(_bytes(key))

    def put(self, values: Mapping[str, bytes]) -> None:
        """Keep values by their keys, all or none.

        Raises:
            OutputError: they cannot be written.
        """
        lmdb = package()
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    for key, value in values.items():
                        transaction.put(_bytes(key), value)
                return
            except lmdb.MapFullError:
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])
            except lmdb.Error as error:
                raise OutputError(f"{str(self.folder)!r} cannot be written: {error}") from error

    def close(self) -> None:
        """Close the database."""
        self._environment.close()


class Writer(Database):
    """A database of PNG files by their names; meta_info.txt is written by `close`."""

    def close(self) -> None:
        """Write meta_info.txt of all that is in the database, and close it."""
        with self._environment.begin() as transaction:
            lines = [_meta_line(bytes(name).decode(), bytes(value)) for name, value in transaction.cursor()]
        super().close()
        with atomic_write(self.folder / META) as file:
            file.write("".join(lines).encode())


def _bytes(key: str) -> bytes:
    """Return a key as it is in a database.

    Raises:
        InputError: it is a file's name that is not UTF-8.
    """
    try:
        return key.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{key!r} cannot be a name in LMDB, which has them in UTF-8; rename the file") from error


def _meta_line(name: str, png: bytes) -> str:
    with _opened(png, repr(name)) as image:
        return f"{name}.png ({image.height},{image.width},{len(image.getbands())}) {COMPRESSION}\n"


def _opened(value: bytes, label: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(value))
    except Exception as error:  # Pillow raises almost anything for broken bytes
        raise InputError(f"{label} is not an image that Pillow can read") from error


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Turn the errors of lmdb into an `InputError` about the database."""
    try:
        yield
    except package().Error as error:
        raise InputError(f"data: {str(folder)!r} cannot be read: {error}") from error
