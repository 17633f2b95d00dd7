"""Files from the web: whole and checked, or not there; what a broken connection has left is gone on from."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from .checksums import Checksum, difference
from .errors import InputError, MissingFileError, OutputError
from .files import atomic_write, prepare_folder
from .locks import sole_use
from .progress import progress_bar

SECONDS_OF_SILENCE = 30
CHUNK = 2**20
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
PASSING = (408, 429)  # what a server answers with 4xx that may be otherwise the next time
NETWORK_ERRORS = (urllib.error.URLError, HTTPException, ValueError)  # the last one of an address that is none


def fetch(address: str, path: Path, *, checksum: Checksum | None, what: str, progress: bool) -> None:
    """Have the file at `address` as `path`; it is downloaded unless it is there, and checked each time.

    What an interrupted download has left, path.part, is gone on from where the server allows it and still has the same
    file, and else begun anew. `path` itself is there only whole. Of several processes one downloads, the others wait.

    Args:
        address: http:// or https://.
        path: its folder is made where it is missing.
        checksum: None for no check.
        what: names the file in errors.
        progress: whether to show a bar.

    Raises:
        InputError: the file is not the one that `checksum` knows.
        MissingFileError: it cannot be downloaded.
        OutputError: it cannot be written.
    """
    if not path.is_file():
        prepare_folder(path.parent)
        with sole_use(_beside(path, ".lock")):
            if not path.is_file():
                _download(address, path, checksum, what, progress)
                return
    if checksum is not None:
        differs = difference(path, checksum)
        if differs:
            raise InputError(f"{str(path)!r} has {differs}; delete it to download it anew")


def fetch_needed(address: str, path: Path, checksum: Checksum, what: str) -> None:
    """`fetch` a file that a function cannot do without; where it cannot be downloaded, the error also says its place.

    Raises:
        InputError, MissingFileError, OutputError: as `fetch`.
    """
    try:
        fetch(address, path, checksum=checksum, what=f"{what}, {address!r},", progress=True)
    except MissingFileError as error:
        raise MissingFileError(f"{error}; or download it elsewhere, and copy it to {str(path)!r}") from error


def _download(address: str, path: Path, checksum: Checksum | None, what: str, progress: bool) -> None:
    partial, version = _beside(path, ".part"), _beside(path, ".part.version")
    total = None
    problem: BaseException | None = None
    try:
        start = _size(partial) if version.is_file() or checksum is not None else 0
        response, begin, total = _ask(address, start, version)
        bar = progress_bar(path.name, "B", shown=progress, scaled=True)
        with response, open(partial, "r+b" if begin else "wb") as file, bar:
            if not begin:
                _note_version(response, version)
            file.seek(begin)
            bar.reset(total)
            bar.update(begin)
            for chunk in _chunks(response, None if total is None else total - begin):
                file.write(chunk)
                bar.update(len(chunk))
    except NETWORK_ERRORS as error:
        problem = error
        if isinstance(error, urllib.error.HTTPError):
            error.close()
    except OSError as error:
        raise OutputError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error
    came = _size(partial)
    if problem is not None or (total is not None and came < total):
        reason = getattr(problem, "reason", problem) if problem else f"it ended after {came} of {total} bytes"
        kept = came if version.is_file() or checksum is not None else 0
        if not kept:
            _discard(partial, version)
        raise MissingFileError(f"{what} cannot be downloaded: {reason}; {_advice(problem, kept)}") from problem
    differs = None if checksum is None else difference(partial, checksum)
    if differs:
        _discard(partial, version)
        raise InputError(f"{what} has {differs}; it is not kept")
    os.replace(partial, path)
    _discard(partial, version)


def _ask(address: str, start: int, version: Path) -> tuple[HTTPResponse, int, int | None]:
    """Open the file from the byte before `start` on, if it is the `version` of before; else all of it.

    Returns:
        The response, where in the file it begins, and how long the file is, where that is known.
    """
    headers = {"User-Agent": "fastsr"}
    if start:
        # A range that begins where the file ends is an error: the last byte is asked for once more.
        headers["Range"] = f"bytes={start - 1}-"
        if version.is_file():
            headers["If-Range"] = version.read_text()
    request = urllib.request.Request(address, headers=headers)
    try:
        with _network():
            response = urllib.request.urlopen(request, timeout=SECONDS_OF_SILENCE)
    except urllib.error.HTTPError as error:
        if not start or error.code != 416:
            raise
        error.close()  # the file has become shorter
        return _ask(address, 0, version)
    if response.status != 206:
        length = response.headers.get("Content-Length", "")
        return response, 0, int(length) if length.isdecimal() else None
    part = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if start and part and int(part[1]) == start - 1:
        return response, start - 1, None if part[2] == "*" else int(part[2])
    response.close()
    if not start:
        raise ValueError("the server sends a part of it, which it was not asked for")
    return _ask(address, 0, version)


def _note_version(response: HTTPResponse, version: Path) -> None:
    """Keep what the server calls this version of the file, by which a later call goes on with no other one."""
    tag = response.headers.get("ETag", "")
    name = tag if tag.startswith('"') else response.headers.get("Last-Modified")
    version.unlink(missing_ok=True)
    if name:
        with atomic_write(version) as file:
            file.write(name.encode())


def _advice(problem: BaseException | None, kept: int) -> str:
    if isinstance(problem, urllib.error.HTTPError) and 400 <= problem.code < 500 and problem.code not in PASSING:
        return f"the server answers {problem.code}: look whether the address is still right"
    return f"try again: it goes on after the {kept} bytes that are here" if kept else "try again"


def _chunks(response: HTTPResponse, length: int | None) -> Iterator[bytes]:
    """Yield what comes as it comes, at most `length` bytes: a connection may stay open after the last one."""
    while length != 0:
        with _network():
            chunk = response.read1(CHUNK)
        if not chunk:
            return
        if length is not None:
            length -= len(chunk)
        yield chunk


@contextmanager
def _network() -> Iterator[None]:
    """Tell what the system says of the network from what it says of files."""
    try:
        yield
    except urllib.error.URLError:
        raise
    except OSError as error:
        raise urllib.error.URLError(error) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _discard(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
