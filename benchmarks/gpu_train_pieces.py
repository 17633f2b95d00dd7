"""Large files in pieces, for a way back from a machine that lets only small ones through.

Each piece begins with a line of JSON: whose piece it is, its number, how many there are, its digest and the whole's.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fastsr.checksums import CHUNK, digest_of
from fastsr.files import atomic_write

LARGEST = 16 * 2**20
"""Bytes of a piece, its first line included."""
HEADER = 1024
"""Of these at most are the first line."""
SUFFIX = ".piece"
NO_DATE = (1980, 1, 1, 0, 0, 0)
"""The same files make the same archive, so that its pieces can be written at several times."""


class PiecesError(ValueError):
    """Pieces that do not make a whole."""


@dataclass(frozen=True)
class Header:
    """What a piece says of itself."""

    name: str
    whole: str
    """SHA-256."""
    count: int
    number: int
    """1 comes first."""
    part: str
    """SHA-256 of what follows."""


def pack(folder: Path, files: Sequence[Path], target: Path) -> None:
    """Write an archive of some files below `folder`."""
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(files):
            about = zipfile.ZipInfo(file.relative_to(folder).as_posix(), NO_DATE)
            with open(file, "rb") as source, archive.open(about, "w", force_zip64=True) as place:
                while chunk := source.read(CHUNK):
                    place.write(chunk)


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of an archive below `folder`."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)


def cut(file: Path, name: str, folder: Path, numbers: range) -> tuple[int, list[Path]]:
    """Write those pieces of a file that have these numbers.

    Args:
        file: what is cut.
        name: what the pieces are called: they are pieces of this.
        folder: where they go.
        numbers: of the pieces, from 1 on; those that there are not are left out.

    Returns:
        How many pieces there are in all, and those that were written.
    """
    whole, size = digest_of(file, "sha256"), LARGEST - HEADER
    count = max(-(-file.stat().st_size // size), 1)
    written = []
    with open(file, "rb") as source:
        for number in range(max(numbers.start, 1), min(numbers.stop, count + 1)):
            source.seek((number - 1) * size)
            part = source.read(size)
            header = Header(name, whole, count, number, hashlib.sha256(part).hexdigest())
            path = folder / f"{name}.{whole[:8]}.{number:03}-of-{count:03}{SUFFIX}"
            with atomic_write(path) as target:
                target.write(json.dumps(asdict(header)).encode() + b"\n")
                target.write(part)
            written.append(path)
    return count, written


def find_pieces(name: str, folder: Path) -> list[Path]:
    """Return the pieces of this name in a folder."""
    return sorted(folder.glob(f"{name}.*{SUFFIX}"))


def join(name: str, folder: Path, target: Path) -> None:
    """Make the file whose pieces of this name are in `folder`.

    Raises:
        PiecesError: pieces are missing, damaged, or of more than one file.
    """
    pieces = {path: _header(path) for path in find_pieces(name, folder)}
    if not pieces:
        raise PiecesError(f"{folder} has no piece of {name}")
    wholes = sorted({header.whole[:8] for header in pieces.values()})
    if len(wholes) > 1:
        listed = ", ".join(wholes)
        raise PiecesError(f"{folder} has pieces of {name} of {len(wholes)} states, {listed}; leave those of one")
    numbered = {header.number: path for path, header in pieces.items()}
    count = next(iter(pieces.values())).count
    missing = sorted(set(range(1, count + 1)) - numbered.keys())
    if missing:
        listed = ", ".join(map(str, missing))
        raise PiecesError(f"{folder} has not all {count} pieces of {name}; missing: {listed}")
    with atomic_write(target) as file:
        for number in range(1, count + 1):
            for chunk in _part(numbered[number], pieces[numbered[number]]):
                file.write(chunk)


def _header(path: Path) -> Header:
    with open(path, "rb") as file:
        try:
            return Header(**json.loads(file.readline(HEADER)))
        except (ValueError, TypeError) as error:
            raise PiecesError(f"{path} is no piece, or is damaged") from error


def _part(path: Path, header: Header) -> Iterator[bytes]:
    """What follows the first line of a piece."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        file.readline()
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            yield chunk
    if digest.hexdigest() != header.part:
        raise PiecesError(f"{path} is damaged: its contents do not have the digest that it names")
