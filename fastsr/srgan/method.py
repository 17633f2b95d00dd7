"""SRGAN and its relatives as one of the methods by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from ..methods import register
from ..pretrained import DEFAULTS, SRGAN_UP_TO_2, default_weights
from ..trained import trained
from . import srgan
from .arguments import check_options
from .formats import load


@dataclass(frozen=True)
class Options:
    """The arguments of `fastsr.srgan` that are its own."""

    weights: str | None = field(
        default=None,
        metadata={
            "help": f"Path, URL or name of a checkpoint.  [default: {DEFAULTS['srgan']}; up to x2 {SRGAN_UP_TO_2}]"
        },
    )
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


register(
    trained(
        "srgan",
        "SRGAN, SRResNet, ESRGAN or MSRResNet, with anybody's weights.",
        Options,
        srgan,
        check_options,
        load,
        partial(default_weights, "srgan"),
    )
)
