"""Downloads: complete and verified or not there at all, resumed after an interruption, kept in a cache folder."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import InputError, MissingFileError, OutputError
from ..runtime.progress import progress_bar
from .files import atomic_write, prepare_folder
from .locks import sole_use

CHUNK = 2**20
"""Bytes that are read at a time, from a file or a connection."""
TIMEOUT = 30
"""Seconds without an answer from the server after which a download fails."""
RETRY_STATUSES = (408, 429)
"""HTTP errors of the 4xx range after which a later attempt may succeed."""
NETWORK_ERRORS = (urllib.error.URLError, HTTPException, ValueError)
"""What a failed connection raises; ValueError is raised for an invalid address."""
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
HASH = re.compile(r"sha256=([0-9a-fA-F]{64})")


@dataclass(frozen=True)
class Checksum:
    """The checksum of a file: `algorithm` is one of hashlib's, `digits` are hexadecimal, in lower case."""

    algorithm: str
    digits: str


def split_hash(text: str, what: str) -> tuple[str, Checksum | None]:
    """Split "text#sha256=..." into the part before the # and the checksum, which is None where there is no #.

    Raises:
        InputError: the part after the # is not a checksum; `what` names the argument.
    """
    before, _, fragment = text.partition("#")
    if not fragment:
        return before, None
    match = HASH.fullmatch(fragment)
    if match is None:
        raise InputError(f"{what} does not end in a hash; write #sha256= and 64 hexadecimal digits")
    return before, Checksum("sha256", match[1].lower())


def digest_of(path: Path, algorithm: str) -> str:
    """Return the hexadecimal digest of a file; `algorithm` is one of hashlib's."""
    digest = hashlib.new(algorithm)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def difference(path: Path, checksum: Checksum) -> str | None:
    """Return how the digest of a file differs from `checksum`, as a phrase for errors; None if it does not."""
    digest = digest_of(path, checksum.algorithm)
    return None if digest == checksum.digits else f"{checksum.algorithm} {digest} instead of {checksum.digits}"


def fetch(address: str, path: Path, *, checksum: Checksum | None, what: str, progress: bool) -> None:
    """Download the file at `address` to `path` unless it is there, and verify it each time.

    An interrupted download leaves path.part and resumes from it if the server supports that and still has the same
    version of the file; else it starts over. `path` itself exists only once it is complete. Of several processes one
    downloads while the others wait.

    Args:
        address: http:// or https://.
        path: where the file goes; its folder is created if it is missing.
        checksum: of the file; None for no verification.
        what: what errors call the file.
        progress: whether to show a progress bar.

    Raises:
        InputError: the file does not match `checksum`.
        MissingFileError: the file cannot be downloaded.
        OutputError: the file cannot be written.
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
            raise InputError(f"{str(path)!r} has {differs}; delete it to download it again")


def fetch_needed(address: str, path: Path, checksum: Checksum, what: str) -> None:
    """Call `fetch` for a file that a function needs; if the download fails, the error also says where to copy the file.

    Raises:
        InputError, MissingFileError, OutputError: as for `fetch`.
    """
    try:
        fetch(address, path, checksum=checksum, what=f"{what}, {address!r},", progress=True)
    except MissingFileError as error:
        raise MissingFileError(f"{error}; or download it on another machine and copy it to {str(path)!r}") from error


def _download(address: str, path: Path, checksum: Checksum | None, what: str, progress: bool) -> None:
    """Download to path.part, verify it, and move it to `path`."""
    partial, version = _beside(path, ".part"), _beside(path, ".part.version")
    total = None
    problem: BaseException | None = None
    try:
        start = _size(partial) if version.is_file() or checksum is not None else 0
        response, begin, total = _request(address, start, version)
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
    received = _size(partial)
    if problem is not None or (total is not None and received < total):
        reason = getattr(problem, "reason", problem) if problem else f"it ended after {received} of {total} bytes"
        kept = received if version.is_file() or checksum is not None else 0
        if not kept:
            _discard(partial, version)
        raise MissingFileError(f"{what} cannot be downloaded: {reason}; {_advice(problem, kept)}") from problem
    differs = None if checksum is None else difference(partial, checksum)
    if differs:
        _discard(partial, version)
        raise InputError(f"{what} has {differs}; the download was discarded")
    os.replace(partial, path)
    _discard(partial, version)


def _request(address: str, start: int, version: Path) -> tuple[HTTPResponse, int, int | None]:
    """Request the file from the byte before `start` on if it still is the noted `version`, else from its beginning.

    Returns:
        The response, the offset in the file at which it begins, and the length of the file, None where it is unknown.
    """
    headers = {"User-Agent": "fastsr"}
    if start:
        # A range that begins at the end of the file would be an error, so the last byte is requested once more.
        headers["Range"] = f"bytes={start - 1}-"
        if version.is_file():
            headers["If-Range"] = version.read_text()
    request = urllib.request.Request(address, headers=headers)
    try:
        with _network():
            response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if not start or error.code != 416:
            raise
        error.close()  # the file has become shorter
        return _request(address, 0, version)
    if response.status != 206:
        length = response.headers.get("Content-Length", "")
        return response, 0, int(length) if length.isdecimal() else None
    part = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if start and part and int(part[1]) == start - 1:
        return response, start - 1, None if part[2] == "*" else int(part[2])
    response.close()
    if not start:
        raise ValueError("the server sent a part of it that was not requested")
    return _request(address, 0, version)


def _note_version(response: HTTPResponse, version: Path) -> None:
    """Store the server's identifier of this version of the file, so that a later call resumes only the same one."""
    tag = response.headers.get("ETag", "")
    name = tag if tag.startswith('"') else response.headers.get("Last-Modified")
    version.unlink(missing_ok=True)
    if name:
        with atomic_write(version) as file:
            file.write(name.encode())


def _advice(problem: BaseException | None, kept: int) -> str:
    """Return what to do about a failed download of which `kept` bytes are on disk."""
    if isinstance(problem, urllib.error.HTTPError) and 400 <= problem.code < 500 and problem.code not in RETRY_STATUSES:
        return f"the server answers {problem.code}: check whether the address is still right"
    return f"try again: it resumes after the {kept} bytes already downloaded" if kept else "try again"


def _chunks(response: HTTPResponse, length: int | None) -> Iterator[bytes]:
    """Yield the data as it arrives, at most `length` bytes: a connection may stay open after the last one."""
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
    """Turn network errors of the system into `URLError`, to tell them from errors of files."""
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


def cache_folder() -> Path:
    """Return the folder for downloads: FASTSR_CACHE, or ~/.cache/fastsr."""
    folder = os.environ.get("FASTSR_CACHE")
    return Path(folder) if folder else Path.home() / ".cache" / "fastsr"


def file_name(address: str) -> str:
    """Return a file name for `address`: its last part, after a hash that keeps two files of one name apart."""
    name = unquote(urlsplit(address).path).rpartition("/")[2]
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-80:]
    return f"{hashlib.sha256(address.encode()).hexdigest()[:12]}-{safe or 'file'}"
