"""Weights by path, name or URL, as a file on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .. import pretrained
from ..cache import cache_folder, file_name
from ..checks import meant
from ..checksums import split_hash
from ..codecs import exists
from ..downloads import fetch
from ..errors import InputError, InputTypeError, MissingFileError


def locate(weights: str | os.PathLike[str], method: str | None = None, named: Mapping[str, str] | None = None) -> Path:
    """Return the file of `weights`; what is on the web is downloaded once, into `fastsr.cache.cache_folder()`.

    Args:
        weights: "model.pth"; a name of `fastsr.pretrained` or of `named`; "https://example.org/model.pth", or the
            latter with "#sha256=" and 64 digits after it, by which the file is checked each time. A file or folder that
            is called like a name comes first.
        method: the method of `fastsr.pretrained` whose weights are wanted; None for any.
        named: the URL of each name on the web.

    Raises:
        InputTypeError: `weights` is neither a string nor a path.
        InputError: the file is a folder, cannot be looked at, or is not the one that the hash names; the name is of
            another method's weights.
        MissingFileError: there is no such file, or it cannot be downloaded.
        OutputError: the cache cannot be written to.
    """
    if not isinstance(weights, (str, os.PathLike)):
        raise InputTypeError(f"weights is a {type(weights).__name__}; give a path, a name or a URL")
    named = named or {}
    path, what = Path(weights), f"weights={str(weights)!r}"
    there = exists(path, what)
    if isinstance(weights, str) and not there:
        if weights in pretrained.names():
            return _bundled(weights, method, named)
        if weights in named:
            return _cached(named[weights], method, weights)
        if weights.startswith(("http://", "https://")):
            return _cached(weights, method)
    if not there:
        slip = known = ""
        if method is not None:
            slip = meant(str(weights), [*pretrained.names(method), *named])
            known = f", or a name that `fastsr weights` lists: {_names(method, named)}"
        raise MissingFileError(
            f"{what} is not there{slip}; give the path of a checkpoint (.pth, .pt or .safetensors), a URL{known}"
        )
    if path.is_dir():
        raise InputError(f"{what} is a folder; give a file, such as model.pth")
    return path


def _bundled(name: str, method: str | None, named: Mapping[str, str]) -> Path:
    its = pretrained.card_of(name).method
    if method not in (None, its):
        raise InputError(f"weights={name!r} is for fastsr.{its}; for fastsr.{method} there are {_names(method, named)}")
    return pretrained.path_of(name)


def _names(method: str | None, named: Mapping[str, str]) -> str:
    return ", ".join([*pretrained.names(method), *named]) or "none"


def _cached(url: str, method: str | None, name: str | None = None) -> Path:
    """Return the file of a URL, which errors call `name` where it has one."""
    address, checksum = split_hash(url, f"weights={url!r}")
    path = cache_folder() / file_name(address)
    what = f"weights={address!r}" if name is None else f"weights={name!r}, the file {address},"
    try:
        fetch(address, path, checksum=checksum, what=what, progress=True)
    except MissingFileError as error:
        there = () if method is None else pretrained.names(method)
        if not there:
            raise
        raise MissingFileError(f"{error}; without a connection there are {', '.join(there)}") from error
    return path
