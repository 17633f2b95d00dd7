"""The options of PULSE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..options import CONSISTENCY, DEVICE, DTYPE, SEED, option
from ..pretrained import DEFAULTS
from ..typing import DTypeName

Optimizer = Literal["adam", "adamw", "adamax", "sgd"]
Schedule = Literal["linear1cycledrop", "linear1cycle", "fixed"]
Noise = Literal["zero", "fixed", "trainable"]
LOSS = "100*L2+0.05*GEOCROSS"
"""The default loss: a sum of named terms with their weights."""


@dataclass(frozen=True)
class PulseOptions:
    """The arguments of `fastsr.pulse` but the image, and the options of ``fastsr pulse``."""

    weights: Any = option(
        None,
        "A StyleGAN file, the folder of PULSE's synthesis.pt and mapping.pt, a URL (may end in #sha256=DIGITS), or a "
        f"name listed by `fastsr weights`.  [default: {DEFAULTS['pulse']}]",
        kind=str,
        metavar="FILE|DIR|URL|NAME",
    )
    factor: float | None = option(None, "Upscaling factor.  [default: the resolution of the weights over that of IN]")
    steps: int = option(100, "Maximum number of optimizer steps.")
    eps: float = option(
        2e-3,
        "Stop when the mean squared error between IN and the downscaled result is at most this; colours are in [0, 1].",
    )
    seed: int = option(0, SEED)
    restarts: int = option(1, "Number of searches for each image, from different seeds; the best result is kept.")
    batch: int | None = option(
        None,
        "Maximum number of images to search for at once.  [default: as many as fit into memory]",
        flag="--batch-size",
    )
    optimizer: Optimizer = option("adam", "Optimizer of the search.")
    learning_rate: float = option(0.4, "Peak learning rate.")
    schedule: Schedule = option("linear1cycledrop", "Learning rate schedule.")
    loss: Any = option(LOSS, "Weighted sum of the terms L2, L1 and GEOCROSS.", kind=str)
    tile_latent: bool = option(False, "Use one latent vector for all layers, instead of one for each.")
    noise: Noise = option("trainable", "Noise maps: all zero, random and fixed, or random and optimized.")
    trainable_noise: int = option(5, "Maximum number of noise maps to optimize.")
    consistency: bool = option(False, CONSISTENCY)
    device: Any = option(None, DEVICE, kind=str, metavar="DEVICE")
    dtype: Any = option(None, DTYPE, kind=DTypeName)
