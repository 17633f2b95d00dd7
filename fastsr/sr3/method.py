"""SR3 as one of the methods by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

import torch

from ..images import Picture
from ..methods import Method, register
from . import sr3
from .arguments import check_options
from .checkpoint import Checkpoint
from .formats import load


@dataclass(frozen=True)
class Options:
    """The arguments of `fastsr.sr3` that are its own."""

    weights: str = field(metadata={"help": "Path or URL of a checkpoint."})
    steps: int = field(default=20, metadata={"help": "How often the network is asked."})
    sampler: str = field(default="dpm-solver++", metadata={"help": "dpm-solver++, ddim or ddpm."})
    spacing: str | None = field(
        default=None,
        metadata={"help": "log-snr, time or karras.  [default: time for ddpm, log-snr for the others]"},
    )
    seed: int = field(default=0, metadata={"help": "Names the random numbers."})
    consistency: bool = field(default=True, metadata={"help": "Make the result agree with the input."})
    tile: int | None = field(
        default=None,
        metadata={"help": "Largest side of a tile, in pixels of the result.  [default: twice that of the training]"},
    )
    dtype: str | None = field(
        default=None,
        metadata={"help": "float32 or bfloat16.  [default: bfloat16 where the device computes in it]"},
    )

    def arguments(self) -> dict[str, Any]:
        """Return them, with the weights loaded."""
        return {**asdict(self), "weights": _loaded(self.weights)}


@lru_cache(maxsize=1)
def _loaded(weights: str) -> Checkpoint:
    return load(weights)


def upscale(picture: Picture, factor: int, options: Options, device: torch.device, kernel: str) -> Picture:
    """Return what `fastsr.sr3` makes of the picture; a trained network knows one kernel, whichever it was."""
    return sr3(picture, factor, **options.arguments(), device=device, progress=False)


def check(factor: int, options: Options, device: torch.device) -> None:
    """Load the weights anew, and raise what `fastsr.sr3` raises for options that cannot be used."""
    _loaded.cache_clear()
    check_options(factor, **options.arguments(), device=device)


def details(factor: int, options: Options) -> str:
    """Return the network, and digits that change with its weights: a path says nothing of what is in the file."""
    checkpoint = _loaded(options.weights)
    return f"{checkpoint}, weights {checkpoint.fingerprint()}"


register(Method("sr3", "SR3, a diffusion model that draws a sample.", Options, upscale, check, details))
