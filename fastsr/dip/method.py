"""Deep Image Prior as one of the methods by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

import torch

from ..images import Picture
from ..methods import Method, register
from . import dip
from .arguments import check_options
from .recipes import choose


@dataclass(frozen=True)
class Options:
    """The arguments of `fastsr.dip` that are its own."""

    preset: str = field(default="fast", metadata={"help": "fast, or paper for the recipe of the paper."})
    steps: int | None = field(default=None, metadata={"help": "Optimiser steps.  [default: the preset's]"})
    seed: int = field(default=0, metadata={"help": "Names the random numbers."})
    dtype: str | None = field(
        default=None,
        metadata={"help": "float32 or bfloat16.  [default: bfloat16 where the device computes in it]"},
    )
    kernel: str | None = field(
        default=None,
        metadata={"help": "The filter that made the inputs.  [default: the protocol's; lanczos2 for preset paper]"},
    )


def upscale(picture: Picture, factor: int, options: Options, device: torch.device, kernel: str) -> Picture:
    """Return what `fastsr.dip` makes of the picture; the paper's recipe has the paper's kernel."""
    if options.kernel is None and options.preset != "paper":
        options = replace(options, kernel=kernel)
    return dip(picture, factor, **asdict(options), device=device)


def check(factor: int, options: Options, device: torch.device) -> None:
    """Raise what `fastsr.dip` raises for options that cannot be used."""
    check_options(factor, **asdict(options), device=device)


def details(factor: int, options: Options) -> str:
    """Return the recipe."""
    return str(choose("upscale", options.preset, factor=factor))


register(
    Method(
        "dip",
        "Deep Image Prior: a network fitted to each picture, without training data.",
        Options,
        upscale,
        check,
        details,
    )
)
