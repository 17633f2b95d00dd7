"""Data sets from the web into a folder: a set is there whole, or not at all."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ..checks import spell
from ..errors import InputError, OutputError
from ..io.downloads import digest_of, fetch, file_name
from ..io.files import atomic_write, exists, prepare_folder
from ..io.image_paths import READ_SUFFIXES
from ..io.locks import sole_use
from ..runtime.progress import progress_bar
from .sets import DataSet, Download, Pick

BROKEN = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)


def unpack(archive: Path, folder: Path, picks: Sequence[Pick], *, what: str, progress: bool) -> None:
    """Write the images that `picks` name into `folder`; of an archive nothing but plain files is read.

    Args:
        archive: a zip or tar file, compressed or not.
        folder: made where it is missing.
        picks: what to take.
        what: names the archive in errors.
        progress: whether to show a bar.

    Raises:
        InputError: the archive is broken, a path in it leads elsewhere, or it holds other numbers of pictures.
        OutputError: the images cannot be written.
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
            raise InputError(f"{what} holds {count} images in {pick.inside!r} instead of {pick.count}")


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


RECORD = "fastsr-set.json"  # in the folder of a set: where it came from, and the size of each of its files


def get_set(entry: DataSet, folder: Path, *, progress: bool, show: Callable[[str], None]) -> bool:
    """Have the data set as `folder` / its name; an interrupted call is gone on from by the next one.

    Meanwhile, what has come lies beside it, in a folder whose name begins with a dot.

    Args:
        entry: which set.
        folder: made where it is missing.
        progress: whether to show bars.
        show: takes a line about a file of which no sha256 is known.

    Returns:
        Whether it was downloaded now, and not there before.

    Raises:
        InputError: a file is not the one that its checksum knows, or holds something else than the set; the folder
            cannot be looked at.
        MissingFileError: a file cannot be downloaded.
        OutputError: the folder cannot be written to, or has something else of that name.
    """
    target, staging = folder / entry.name, folder / f".{entry.name}.part"
    if _is_there(target) and not staging.exists():
        return False
    prepare_folder(folder)
    with sole_use(folder / f".{entry.name}.lock"):
        there = _is_there(target)
        if not there:
            try:
                _make(entry, target, staging, progress, show)
            except OSError as error:
                if isinstance(error, (OutputError, FileNotFoundError)):
                    raise
                raise OutputError(f"{str(target)!r} cannot be written: {error.strerror or error}") from error
        shutil.rmtree(staging, ignore_errors=True)
    return not there


def _make(entry: DataSet, target: Path, staging: Path, progress: bool, show: Callable[[str], None]) -> None:
    archives, images = staging / "archives", staging / "pictures"
    packed = any(download.picks for download in entry.downloads)
    if packed:
        shutil.rmtree(images, ignore_errors=True)  # an unpacking that was interrupted
    sources = []
    with progress_bar(entry.name, "file", shown=progress and not packed) as bar:
        bar.reset(len(entry.downloads))
        for download in entry.downloads:
            what = f"data set {entry.name}: {download.address!r}"
            path = archives / file_name(download.address) if download.picks else images / download.path
            fetch(download.address, path, checksum=download.checksum, what=what, progress=progress and packed)
            sources.append(_source(download, path, entry.name, show))
            if download.picks:
                try:
                    unpack(path, images, download.picks, what=what, progress=progress)
                except InputError:
                    path.unlink()
                    raise
            bar.update()
    sizes = {path.relative_to(images).as_posix(): path.stat().st_size for path in images.rglob("*.*")}
    with atomic_write(images / RECORD) as file:
        file.write(json.dumps({"name": entry.name, "sources": sources, "files": sizes}, indent=1).encode())
    os.rename(images, target)


def _source(download: Download, path: Path, name: str, show: Callable[[str], None]) -> dict[str, str]:
    checksum = download.checksum
    digits = checksum.digits if checksum.algorithm == "sha256" else digest_of(path, "sha256")
    if checksum.algorithm != "sha256":
        show(
            f"{name}: no sha256 is known of {download.address}; its {checksum.algorithm} is as published. "
            f"Its sha256 is {digits}: check it, or have it checked with {name}#sha256={digits}"
        )
    return {"address": download.address, "sha256": digits}


def _is_there(target: Path) -> bool:
    """Whether the set is there, whole.

    Raises:
        InputError: it cannot be looked at.
        OutputError: something else is, or not all of it.
    """
    if not exists(target, f"{spell('output', str(target.parent))}"):
        return False
    record: Any = None
    with suppress(OSError, ValueError):
        record = json.loads((target / RECORD).read_text())
    sizes = record.get("files") if isinstance(record, dict) else None
    if not isinstance(sizes, dict):
        raise OutputError(
            f"{str(target)!r} is there already, and not from `fastsr data get`; remove it or choose another folder (-o)"
        )
    for name, size in sizes.items():
        path = target / name
        if not path.is_file() or path.stat().st_size != size:
            raise OutputError(f"{str(target)!r} is no longer whole: {name!r} is missing or changed; remove the folder")
    return True
