"""Weights by path, URL or name, as a file on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..checksums import split_hash
from ..downloads import fetch, file_name
from ..errors import InputError, InputTypeError, MissingFileError


def locate(weights: str | os.PathLike[str], named: Mapping[str, str] | None = None) -> Path:
    """Return the file of `weights`, a path, a name or a URL, which is downloaded once, into `cache_folder()`.

    Args:
        weights: "model.pth", "https://example.org/model.pth", or the latter with "#sha256=" and 64 digits after it,
            by which the file is checked each time; or one of the names. A file that is called like a name comes first.
        named: the URL of each name.

    Raises:
        InputTypeError: `weights` is neither a string nor a path.
        InputError: the file is a folder, or not the one that the hash names.
        MissingFileError: there is no such file, or it cannot be downloaded.
        OutputError: the cache cannot be written to.
    """
    if not isinstance(weights, (str, os.PathLike)):
        raise InputTypeError(f"weights is a {type(weights).__name__}; give a path or a URL")
    named = named or {}
    path = Path(weights)
    if isinstance(weights, str) and not path.exists() and weights in named:
        return _cached(named[weights])
    if isinstance(weights, str) and weights.startswith(("http://", "https://")):
        return _cached(weights)
    if path.is_dir():
        raise InputError(f"weights={str(weights)!r} is a folder; give a file, such as model.pth")
    if not path.exists():
        raise MissingFileError(
            f"weights={str(weights)!r} is not there; give the path of a checkpoint (.pth, .pt or .safetensors)"
            f"{''.join(f', {name}' for name in named)} or a URL"
        )
    return path


def cache_folder() -> Path:
    """Return where downloads are kept: FASTSR_CACHE, or ~/.cache/fastsr."""
    folder = os.environ.get("FASTSR_CACHE")
    return Path(folder) if folder else Path.home() / ".cache" / "fastsr"


def _cached(url: str) -> Path:
    address, checksum = split_hash(url, f"weights={url!r}")
    path = cache_folder() / file_name(address)
    fetch(address, path, checksum=checksum, what=f"weights={address!r}", progress=True)
    return path
