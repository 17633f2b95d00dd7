"""Damage bytes as disks, connections and attackers do, and check that fastsr refuses or reads the result correctly."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fastsr import images, srgan
from fastsr.errors import FastsrError, NotEnoughMemoryError
from fastsr.io.codecs import FORMATS
from fastsr.sr3 import checkpoints as sr3_checkpoints
from fastsr.srgan import checkpoints as srgan_checkpoints
from fastsr.stylegan import checkpoints as stylegan_checkpoints
from tests.robustness.seeds import with_checksums

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


LOADERS: tuple[Callable[[Any], Any], ...] = (srgan_checkpoints.load, sr3_checkpoints.load, stylegan_checkpoints.load)
NUMBERS_TO_RUN = 20_000
"""Of the largest network that is run."""


class BrokenPromiseError(AssertionError):
    """A file had another outcome than a correct result or a proper error."""


def check_image(data: bytes, folder: Path) -> bool:
    """Load `data` as an image file, by its path, and write what was loaded in every format.

    Args:
        data: the file.
        folder: where it and the results are written.

    Returns:
        Whether it could be loaded.

    Raises:
        BrokenPromiseError: the picture is not one, or the error does not name the file. Other errors come through.
    """
    path = folder / "picture.png"
    path.write_bytes(with_checksums(data) if data.startswith(b"\x89PNG") else data)
    picture = _named(lambda: images.read(path, "path"), path)
    if picture is None:
        return False
    pixels = picture.pixels if picture.alpha is None else torch.cat([picture.pixels, picture.alpha], 1)
    _promise(pixels.dtype == torch.float32 and pixels.ndim == 4 and len(pixels) == 1, f"shape {pixels.shape}")
    _promise(pixels.shape[1] in (1, 2, 3, 4) and 0 not in pixels.shape, f"shape {pixels.shape}")
    low, high = (bound.item() for bound in pixels.aminmax())
    _promise(0 <= low <= high <= 1, f"values from {low} to {high}")
    for suffix in FORMATS:
        target = folder / f"written{suffix}"
        if _named(lambda target=target: images.save(picture, target) or True, target):  # type: ignore[misc, func-returns-value]
            if suffix == ".png":
                again = _named(lambda target=target: images.read(target), target)  # type: ignore[misc]
                levels = picture.levels or 255
                same = torch.equal((again.pixels * levels).round(), (picture.pixels * levels + 0.5).floor())
                _promise(same, "what was written is not what was read")
            target.unlink()
    return True


def check_checkpoint(data: bytes, folder: Path) -> bool:
    """Load `data` as a checkpoint with the loader of each method, and run what is small.

    Args:
        data: the file: safetensors where it begins as such files do, else what torch.save writes.
        folder: where it is written.

    Returns:
        Whether a method could load it.

    Raises:
        BrokenPromiseError: an error does not name the file. Other errors come through.
    """
    path = folder / ("weights.safetensors" if _is_safetensors(data) else "weights.pth")
    path.write_bytes(data)
    loaded = [_named(lambda load=load: load(path), path) for load in LOADERS]  # type: ignore[misc]
    generator = loaded[0]
    if generator is not None and sum(each.numel() for each in generator.network.parameters()) < NUMBERS_TO_RUN:
        picture = torch.rand(3, 6, 7, generator=torch.Generator().manual_seed(0))
        large = _named(lambda: srgan(picture, weights=path, device="cpu", dtype="float32", progress=False), path)
        _promise(large is None or bool(large.isfinite().all()), "a result is not finite")
    return any(one is not None for one in loaded)


def _named(call: Callable[[], Any], path: Path) -> Any:
    """Return what `call` does, None where it refuses the file `path` by its name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()
    except NotEnoughMemoryError as error:
        raise BrokenPromiseError(f"a small file needs too much memory: {error}") from error
    except FastsrError as error:
        _promise(path.name in str(error), f"an error does not name the file: {error}")
        return None


def _promise(kept: bool, problem: str) -> None:
    if not kept:
        raise BrokenPromiseError(problem)


def _is_safetensors(data: bytes) -> bool:
    return len(data) > 8 and data[8:9] == b"{" and struct.unpack_from("<Q", data)[0] < 2**32
