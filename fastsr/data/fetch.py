"""Data sets from the web into a folder: a set is there whole, or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..archives import unpack
from ..cache import file_name
from ..checksums import digest_of
from ..codecs import exists
from ..downloads import fetch
from ..errors import InputError, OutputError
from ..files import atomic_write, prepare_folder
from ..locks import sole_use
from ..progress import progress_bar
from .sets import DataSet, Download

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
    archives, pictures = staging / "archives", staging / "pictures"
    packed = any(download.picks for download in entry.downloads)
    if packed:
        shutil.rmtree(pictures, ignore_errors=True)  # an unpacking that was interrupted
    sources = []
    with progress_bar(entry.name, "file", shown=progress and not packed) as bar:
        bar.reset(len(entry.downloads))
        for download in entry.downloads:
            what = f"data set {entry.name}: {download.address!r}"
            path = archives / file_name(download.address) if download.picks else pictures / download.path
            fetch(download.address, path, checksum=download.checksum, what=what, progress=progress and packed)
            sources.append(_source(download, path, entry.name, show))
            if download.picks:
                try:
                    unpack(path, pictures, download.picks, what=what, progress=progress)
                except InputError:
                    path.unlink()
                    raise
            bar.update()
    sizes = {path.relative_to(pictures).as_posix(): path.stat().st_size for path in pictures.rglob("*.*")}
    with atomic_write(pictures / RECORD) as file:
        file.write(json.dumps({"name": entry.name, "sources": sources, "files": sizes}, indent=1).encode())
    os.rename(pictures, target)


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
    if not exists(target, f"output={str(target.parent)!r}"):
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
