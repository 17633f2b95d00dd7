"""The pristine model of NIQE's authors: the Laboratory for Image and Video Engineering (LIVE), UT Austin."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from ..cache import cache_folder
from ..checksums import Checksum, difference
from ..downloads import fetch_needed
from ..errors import InputError
from ..files import atomic_write

LIVE = "LIVE"
ADDRESS = "https://raw.githubusercontent.com/utlive/niqe/HEAD/modelparameters.mat"
CHECKSUM = Checksum("sha256", "fa2aa4d12dd9595c3fb6bf8b4e1a15c79d5d1469238d0901c88dead195be578d")
FILE = Path("niqe", "modelparameters.mat")
"""In FASTSR_DATA and in the cache."""
NOTICE = "NOTICE.txt"


def live_path() -> Path:
    """Return the file of LIVE's model: FASTSR_DATA/niqe/modelparameters.mat, or that of the cache, downloaded once.

    It is checked each time. In the cache LIVE's notice is kept beside it.

    Raises:
        InputError: the file is another one.
        MissingFileError: it cannot be downloaded.
        OutputError: the cache cannot be written to.
    """
    data = os.environ.get("FASTSR_DATA")
    if data and (Path(data) / FILE).exists():
        path = Path(data) / FILE
        differs = difference(path, CHECKSUM)
        if differs:
            raise InputError(f"{str(path)!r} is not LIVE's model: it has {differs}; give it as model= to use it")
        return path
    path = cache_folder() / FILE
    fetch_needed(ADDRESS, path, CHECKSUM, "LIVE's model for NIQE")
    notice = path.with_name(NOTICE)
    if not notice.exists():
        with atomic_write(notice) as file:
            file.write(notice_text().encode())
    return path


def is_live(path: Path) -> bool:
    """Whether a file is LIVE's model, wherever it lies."""
    return difference(path, CHECKSUM) is None


def notice_text() -> str:
    """Return the notice under which LIVE publishes the model."""
    return (files(__package__) / "live_notice.txt").read_text(encoding="utf-8")
