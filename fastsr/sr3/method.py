"""SR3 as one of the methods by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from ..methods import register
from ..pretrained import DEFAULTS, default_weights
from ..trained import trained
from . import sr3
from .arguments import check_options
from .formats import load


@dataclass(frozen=True)
class Options:
    """The arguments of `fastsr.sr3` that are its own."""

    weights: str | None = field(
        default=None, metadata={"help": f"Path, URL or name of a checkpoint.  [default: {DEFAULTS['sr3']}]"}
    )
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


register(
    trained(
        "sr3",
        "SR3, a diffusion model that draws a sample.",
        Options,
        sr3,
        check_options,
        load,
        partial(default_weights, "sr3"),
    )
)
