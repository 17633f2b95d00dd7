"""What a file is known by."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError

CHUNK = 2**20
HASH = re.compile(r"sha256=([0-9a-fA-F]{64})")


@dataclass(frozen=True)
class Checksum:
    """What a file is known by: `algorithm` is one of hashlib's, `digits` are hexadecimal, in lower case."""

    algorithm: str
    digits: str


def split_hash(text: str, what: str) -> tuple[str, Checksum | None]:
    """Split "text#sha256=..." into what is before the # and the checksum, which is None where there is no #.

    Raises:
        InputError: something else is after the #; `what` names the argument.
    """
    before, _, fragment = text.partition("#")
    if not fragment:
        return before, None
    found = HASH.fullmatch(fragment)
    if found is None:
        raise InputError(f"{what} ends in no hash; write #sha256= and 64 hexadecimal digits")
    return before, Checksum("sha256", found[1].lower())


def digest_of(path: Path, algorithm: str) -> str:
    """Return the hexadecimal digest of a file; `algorithm` is one of hashlib's."""
    digest = hashlib.new(algorithm)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def difference(path: Path, checksum: Checksum) -> str | None:
    """Return in words how the digest of a file differs from `checksum`; None where it does not."""
    found = digest_of(path, checksum.algorithm)
    return None if found == checksum.digits else f"{checksum.algorithm} {found} instead of {checksum.digits}"
