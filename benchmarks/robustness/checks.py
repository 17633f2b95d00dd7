"""What must hold of every file, whatever is in it: a correct result, or an error of fastsr's that names the file."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.robustness.image_seeds import with_checksums
from fastsr import images, srgan
from fastsr.codecs import FORMATS
from fastsr.errors import FastsrError, NotEnoughMemoryError
from fastsr.pulse import formats as pulse_formats
from fastsr.sr3 import formats as sr3_formats
from fastsr.srgan import formats as srgan_formats

LOADERS: tuple[Callable[[Any], Any], ...] = (srgan_formats.load, sr3_formats.load, pulse_formats.load)
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
