"""Weights by path or URL, as a file on this machine."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from ..errors import InputError, InputTypeError, MissingFileError
from ..files import atomic_write, prepare_folder

SECONDS_OF_SILENCE = 30
CHUNK = 2**20
HASH = re.compile(r"sha256=([0-9a-fA-F]{64})")


def locate(weights: str | os.PathLike[str]) -> Path:
    """Return the file of `weights`, a path or a URL, which is downloaded once, into `cache_folder()`.

    Args:
        weights: "model.pth", "https://example.org/model.pth", or the latter with "#sha256=" and 64 digits after it,
            by which the file is checked each time.

    Raises:
        InputTypeError: `weights` is neither a string nor a path.
        InputError: the file is a folder, or not the one that the hash names.
        MissingFileError: there is no such file, or it cannot be downloaded.
        OutputError: the cache cannot be written to.
    """
    if not isinstance(weights, (str, os.PathLike)):
        raise InputTypeError(f"weights is a {type(weights).__name__}; give a path or a URL")
    if isinstance(weights, str) and weights.startswith(("http://", "https://")):
        return _cached(weights)
    path = Path(weights)
    if path.is_dir():
        raise InputError(f"weights={str(weights)!r} is a folder; give a file, such as model.pth")
    if not path.exists():
        raise MissingFileError(
            f"weights={str(weights)!r} is not there; give the path of a checkpoint (.pth, .pt or .safetensors) or a URL"
        )
    return path


def cache_folder() -> Path:
    """Return where downloads are kept: FASTSR_CACHE, or ~/.cache/fastsr."""
    folder = os.environ.get("FASTSR_CACHE")
    return Path(folder) if folder else Path.home() / ".cache" / "fastsr"


def _cached(url: str) -> Path:
    address, _, fragment = url.partition("#")
    found = HASH.fullmatch(fragment)
    if fragment and found is None:
        raise InputError(f"weights={url!r} ends in no hash; write #sha256= and 64 hexadecimal digits")
    expected = None if found is None else found[1].lower()
    path = cache_folder() / _file_name(address)
    if not path.is_file():
        prepare_folder(path.parent)
        _download(address, path, expected)
    elif expected is not None:
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            for chunk in _chunks(file):
                digest.update(chunk)
        if digest.hexdigest() != expected:
            raise InputError(
                f"{str(path)!r} has {_differs(digest.hexdigest(), expected)}; delete it to download it anew"
            )
    return path


def _file_name(address: str) -> str:
    """The name of the file, after a hash that keeps two files of one name apart."""
    name = unquote(urlsplit(address).path).rpartition("/")[2]
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-80:]
    return f"{hashlib.sha256(address.encode()).hexdigest()[:12]}-{safe or 'weights'}"


def _download(address: str, path: Path, expected: str | None) -> None:
    """Write what is at `address` to `path`, all of it or nothing."""
    digest = hashlib.sha256()
    with atomic_write(path) as file:
        try:
            with urllib.request.urlopen(address, timeout=SECONDS_OF_SILENCE) as response:
                promised = response.headers.get("Content-Length")
                for chunk in _chunks(response):
                    digest.update(chunk)
                    file.write(chunk)
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise MissingFileError(f"weights={address!r} cannot be downloaded: {reason}") from error
        if promised is not None and file.tell() != int(promised):
            raise MissingFileError(
                f"weights={address!r} cannot be downloaded: it ended after {file.tell()} of {promised} bytes; try again"
            )
        if expected is not None and digest.hexdigest() != expected:
            raise InputError(f"weights={address!r} has {_differs(digest.hexdigest(), expected)}; it is not kept")


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


def _differs(found: str, expected: str) -> str:
    return f"sha256 {found} instead of {expected}"
