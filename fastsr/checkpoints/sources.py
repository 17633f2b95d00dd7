"""Resolve weights, given by path, name or URL, to a file on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .. import pretrained
from ..checks import did_you_mean, input_error, spell
from ..errors import InputTypeError, MissingFileError
from ..io.downloads import cache_folder, fetch, file_name, split_hash
from ..io.files import exists


def locate(
    weights: str | os.PathLike[str],
    method: str | None = None,
    published: Mapping[str, str] | None = None,
    *,
    argument: str = "weights",
) -> Path:
    """Return the file of `weights`; a URL is downloaded once, into `fastsr.io.downloads.cache_folder()`.

    Args:
        weights: a path such as "model.pth"; a name of `fastsr.pretrained` or of `published`; or a URL such as
            "https://example.org/model.pth". With "#sha256=" and 64 hexadecimal digits behind a URL, the file is
            verified on every call. An existing file or folder takes precedence over a name.
        method: the method of `fastsr.pretrained` that the weights must belong to; None for any method.
        published: URLs of further weights, by name.
        argument: name of the argument that `weights` came from, for errors.

    Raises:
        InputTypeError: `weights` is neither a string nor a path.
        InputError: the path is a folder or cannot be accessed, the file does not match its checksum, or the name
            belongs to the weights of another method.
        MissingFileError: the file does not exist or cannot be downloaded.
        OutputError: the cache folder is not writable.
    """
    if not isinstance(weights, (str, os.PathLike)):
        raise InputTypeError(f"{argument} is a {type(weights).__name__}; give a path, a name or a URL")
    published = published or {}
    path, given = Path(weights), str(weights)
    available = ", ".join([*pretrained.names(method), *published]) or "none"
    if exists(path, spell(argument, given)):
        if path.is_dir():
            raise input_error(argument, given, "is a folder", "give a file, such as model.pth")
        return path
    if isinstance(weights, str):
        if weights in pretrained.names():
            owner = pretrained.card_of(weights).method
            if method not in (None, owner):
                advice = f"for fastsr.{method} there are {available}"
                raise input_error(argument, weights, f"is for fastsr.{owner}", advice)
            return pretrained.path_of(weights)
        if weights in published:
            return _download(published[weights], method, argument, weights)
        if weights.startswith(("http://", "https://")):
            return _download(weights, method, argument)
    guess, advice = "", "give the path of a checkpoint (.pth, .pt or .safetensors), a URL"
    if method is not None:
        guess = did_you_mean(given, [*pretrained.names(method), *published])
        advice += f", or a name that `fastsr weights` lists: {available}"
    raise input_error(argument, given, f"is not there{guess}", advice, kind=MissingFileError)


def _download(url: str, method: str | None, argument: str, name: str | None = None) -> Path:
    """Return the cached file of a URL, downloading it if necessary; errors mention its `name`, if it has one."""
    address, checksum = split_hash(url, spell(argument, url))
    path = cache_folder() / file_name(address)
    source = spell(argument, address) if name is None else f"{spell(argument, name)}, the file {address},"
    try:
        fetch(address, path, checksum=checksum, what=source, progress=True)
    except MissingFileError as error:
        bundled = () if method is None else pretrained.names(method)
        if not bundled:
            raise
        raise MissingFileError(f"{error}; without a connection there are {', '.join(bundled)}") from error
    return path
