"""PULSE as one of the methods by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from ..methods import register
from ..pretrained import DEFAULTS, default_weights
from ..trained import trained
from . import pulse
from .arguments import LOSS, check_options
from .formats import load


@dataclass(frozen=True)
class Options:
    """The arguments of `fastsr.pulse` that are its own."""

    weights: str | None = field(
        default=None,
        metadata={
            "help": f"Path, URL or name of a StyleGAN, or the folder of PULSE's.  [default: {DEFAULTS['pulse']}]"
        },
    )
    steps: int = field(default=100, metadata={"help": "Optimiser steps, at most."})
    eps: float = field(default=2e-3, metadata={"help": "The mean squared error at which a picture is found."})
    seed: int = field(default=0, metadata={"help": "Names the random numbers."})
    restarts: int = field(default=1, metadata={"help": "Searches for each picture, of which the best is kept."})
    optimizer: str = field(default="adam", metadata={"help": "adam, adamw, adamax or sgd."})
    learning_rate: float = field(default=0.4, metadata={"help": "The largest learning rate."})
    schedule: str = field(default="linear1cycledrop", metadata={"help": "linear1cycledrop, linear1cycle or fixed."})
    loss: str = field(default=LOSS, metadata={"help": "A sum of L2, L1 and GEOCROSS with weights."})
    tile_latent: bool = field(default=False, metadata={"help": "Search one latent row for all layers."})
    noise: str = field(default="trainable", metadata={"help": "zero, fixed or trainable."})
    trainable_noise: int = field(default=5, metadata={"help": "How many noise maps are searched, at most."})
    consistency: bool = field(default=False, metadata={"help": "Make the result agree with the input."})
    dtype: str | None = field(
        default=None,
        metadata={"help": "float32 or bfloat16.  [default: bfloat16 where the device computes in it]"},
    )


register(
    trained(
        "pulse",
        "PULSE, a search for a face in a generator.",
        Options,
        pulse,
        check_options,
        load,
        partial(default_weights, "pulse"),
    )
)
