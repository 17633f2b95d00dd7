"""SRGAN and its relatives as one of the methods by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

import torch

from ..images import Picture
from ..methods import Method, register
from . import srgan
from .arguments import check_options
from .checkpoint import Checkpoint
from .formats import load


@dataclass(frozen=True)
class Options:
    """The arguments of `fastsr.srgan` that are its own."""

    weights: str = field(metadata={"help": "Path, URL or name of a checkpoint."})
    ensemble: bool = field(default=False, metadata={"help": "Average the results of the 8 flips and rotations."})
    tile: int | None = field(
        default=None,
        metadata={"help": "Largest side of a tile, in pixels of the input.  [default: what fits into memory]"},
    )
    dtype: str | None = field(
        default=None,
        metadata={"help": "float32 or bfloat16.  [default: bfloat16 where the device computes in it]"},
    )
    consistency: bool = field(default=False, metadata={"help": "Make the result agree with the input."})

    def arguments(self) -> dict[str, Any]:
        """Return them, with the weights loaded."""
        return {**asdict(self), "weights": _loaded(self.weights)}


@lru_cache(maxsize=1)
def _loaded(weights: str) -> Checkpoint:
    return load(weights)


def upscale(picture: Picture, factor: int, options: Options, device: torch.device, kernel: str) -> Picture:
    """Return what `fastsr.srgan` makes of the picture; a trained network knows one kernel, whichever it was."""
    return srgan(picture, factor, **options.arguments(), device=device, progress=False)


def check(factor: int, options: Options, device: torch.device) -> None:
    """Load the weights anew, and raise what `fastsr.srgan` raises for options that cannot be used."""
    _loaded.cache_clear()
    check_options(factor, **options.arguments(), device=device)


def details(factor: int, options: Options) -> str:
    """Return the network, and digits that change with its weights: a path says nothing of what is in the file."""
    checkpoint = _loaded(options.weights)
    return f"{checkpoint}, weights {checkpoint.fingerprint()}"


register(
    Method(
        "srgan",
        "SRGAN, SRResNet, ESRGAN or MSRResNet, with anybody's weights.",
        Options,
        upscale,
        check,
        details,
    )
)
