"""Seeds that follow from numbers."""

from __future__ import annotations

import hashlib


def seed_of(*numbers: int) -> int:
    """Return a seed for the random numbers of something that has these numbers, from 0 to 2**63 - 1."""
    digest = hashlib.blake2b(" ".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
