"""Which pictures a run is trained on, in words that stay the same when their folders are moved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from ..data.lmdb import Record
from ..data.numbered import Square
from ..data.pictures import PictureFile, StoredPicture
from ..data.training import TrainingPicture


def described(pictures: Sequence[TrainingPicture], folders: Sequence[str]) -> str:
    """Say which pictures there are, by the names of their HR and LR files, wherever the folders are."""
    roots = [root for folder in folders for root in (Path(folder).resolve(), Path(folder))]
    pairs = [[_name(stored, roots) for stored in (one.hr, one.lr) if stored is not None] for one in pictures]
    kind = "with LR files and" if any(one.lr is not None for one in pictures) else "with"
    return f"{len(pictures)} {kind} names of digest {hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:8]}"


def _name(stored: StoredPicture, roots: Sequence[Path]) -> str:
    """The path of a picture below the first root that it is in."""
    path = _path(stored)
    return next(path.relative_to(root) for root in roots if path.is_relative_to(root)).as_posix()


def _path(stored: StoredPicture) -> Path:
    if isinstance(stored, Record):
        return stored.folder / stored.name
    if isinstance(stored, Square):
        return stored.folder / stored.key
    assert isinstance(stored, PictureFile)
    return stored.path
