"""Pictures out of zip and tar archives."""

from __future__ import annotations

import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from .errors import InputError, OutputError
from .files import READ_SUFFIXES
from .progress import progress_bar

BROKEN = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)


@dataclass(frozen=True)
class Pick:
    """A folder of pictures in an archive.

    Attributes:
        inside: the end of its path, such as "images/val".
        into: the folder where the pictures go, "" for the topmost.
        count: how many pictures there are.
    """

    inside: str
    into: str
    count: int


def unpack(archive: Path, folder: Path, picks: Sequence[Pick], *, what: str, progress: bool) -> None:
    """Write the pictures that `picks` name into `folder`; of an archive nothing but plain files is read.

    Args:
        archive: a zip or tar file, compressed or not.
        folder: made where it is missing.
        picks: what to take.
        what: names the archive in errors.
        progress: whether to show a bar.

    Raises:
        InputError: the archive is broken, a path in it leads elsewhere, or it holds other numbers of pictures.
        OutputError: the pictures cannot be written.
    """
    found = {pick: 0 for pick in picks}
    try:
        with progress_bar("unpack", "picture", shown=progress) as bar:
            bar.reset(sum(pick.count for pick in picks))
            for name, opened in _files(archive):
                path = PurePosixPath(name)
                if path.is_absolute() or ".." in path.parts or "\\" in name:
                    raise InputError(f"{what} holds {name!r}, which leads out of its folder; nothing is taken from it")
                pick = _pick_of(path, picks)
                if pick is None:
                    continue
                target = folder / pick.into / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened() as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file)
                found[pick] += 1
                bar.update()
    except BROKEN as error:
        raise InputError(f"{what} is no archive that can be read: {error}") from error
    except OSError as error:
        raise OutputError(f"{str(folder)!r} cannot be written: {error.strerror or error}") from error
    for pick, count in found.items():
        if count != pick.count:
            raise InputError(f"{what} holds {count} pictures in {pick.inside!r} instead of {pick.count}")


def _files(archive: Path) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    """The plain files of an archive: the path of each, and how to open it."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                if not info.is_dir():
                    yield info.filename, lambda info=info: zipped.open(info)  # type: ignore[misc]
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isreg():
                yield member.name, lambda member=member: tar.extractfile(member)  # type: ignore[misc]


def _pick_of(path: PurePosixPath, picks: Sequence[Pick]) -> Pick | None:
    if path.name.startswith(".") or path.suffix.lower() not in READ_SUFFIXES:
        return None
    return next((pick for pick in picks if f"/{path.parent}".endswith(f"/{pick.inside}")), None)
