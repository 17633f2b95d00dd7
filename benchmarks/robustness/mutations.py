"""Damage to bytes: what disks, connections and people with bad intentions do to files."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable

TELLING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 10**6, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Numbers at which programs go wrong."""
ZIP = b"PK\x03\x04"


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return `data` after one to four kinds of damage, drawn by `chance`.

    Half of the time the damage is in what a checkpoint's outer layers, with their lengths and checksums, are around,
    which are then made anew: else most damage would end there.
    """
    if chance.random() < 0.5:
        if data.startswith(ZIP):
            return _damaged_entry(data, chance)
        if data[8:9] == b"{":
            return _damaged_header(data, chance)
    made = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        chance.choice(KINDS)(made, chance)
    return bytes(made)


def _damaged_entry(data: bytes, chance: random.Random) -> bytes:
    """Damage one file in a zip archive; data that is none any more is damaged as it is."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:  # damage makes the reader raise almost anything
        return damaged(data[len(ZIP) :], chance)
    names = list(entries) or ["data.pkl"]
    pickles = [name for name in names if name.endswith(".pkl")]
    name = chance.choice(pickles if pickles and chance.random() < 0.8 else names)
    entries[name] = damaged(entries.get(name, b""), chance)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, value in entries.items():
            archive.writestr(name or "data.pkl", value)
    return made.getvalue()


def _damaged_header(data: bytes, chance: random.Random) -> bytes:
    """Damage the header of a safetensors file, and state its length anew."""
    end = min(8 + struct.unpack_from("<Q", data)[0], len(data))
    header = bytearray(data[8:end])
    for _ in range(chance.randint(1, 3)):
        chance.choice(KINDS)(header, chance)
    return struct.pack("<Q", len(header)) + bytes(header) + data[end:]


def _cut(data: bytearray, chance: random.Random) -> None:
    """Leave out what comes after a place."""
    del data[chance.randint(0, len(data)) :]


def _change(data: bytearray, chance: random.Random) -> None:
    """Put other bytes in a few places."""
    for _ in range(chance.randint(1, 8)):
        if data:
            data[chance.randrange(len(data))] = chance.randrange(256)


def _flip(data: bytearray, chance: random.Random) -> None:
    """Turn a bit over."""
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _number(data: bytearray, chance: random.Random) -> None:
    """Put a telling number in a place, in 1, 2, 4 or 8 bytes of either order."""
    size = chance.choice("BHIQ")
    number = chance.choice(TELLING) % 256 ** struct.calcsize(size)
    coded = struct.pack(chance.choice("<>") + size, number)
    if len(data) >= len(coded):
        place = chance.randint(0, len(data) - len(coded))
        data[place : place + len(coded)] = coded


def _repeat(data: bytearray, chance: random.Random) -> None:
    """Put a part in again elsewhere."""
    start, length = chance.randint(0, len(data)), chance.choice((1, 4, 16, 64, 256))
    place = chance.randint(0, len(data))
    data[place:place] = data[start : start + length]


def _remove(data: bytearray, chance: random.Random) -> None:
    """Leave out a part."""
    start = chance.randint(0, len(data))
    del data[start : start + chance.choice((1, 2, 4, 16, 64))]


def _digits(data: bytearray, chance: random.Random) -> None:
    """Make a number that is written in digits another one."""
    places = [place for place, byte in enumerate(data) if 48 <= byte <= 57]
    if places:
        place = chance.choice(places)
        data[place : place + 1] = chance.choice((b"0", b"-1", b"1.5", b"9", b"99999", b"null", b"1e9"))


KINDS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _cut,
    _change,
    _flip,
    _number,
    _repeat,
    _remove,
    _digits,
)
