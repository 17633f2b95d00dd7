"""The options of SRGAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..options import CONSISTENCY, DEVICE, DTYPE, option
from ..pretrained import DEFAULTS, SRGAN_UP_TO_2
from ..typing import DTypeName


@dataclass(frozen=True)
class SRGANOptions:
    """The arguments of `fastsr.srgan` but the image, and the options of ``fastsr srgan``."""

    weights: Any = option(
        None,
        "A checkpoint file, a URL (may end in #sha256=DIGITS), or a name listed by `fastsr weights`.  "
        f"[default: {DEFAULTS['srgan']}; for factors up to 2 {SRGAN_UP_TO_2}]",
        kind=str,
        metavar="FILE|URL|NAME",
    )
    factor: float = option(4, "Upscaling factor.")
    ensemble: bool = option(False, "Average the results for the 8 flips and rotations of the image; 8 times slower.")
    tile: int | None = option(
        None, "Maximum side of a tile, in pixels of the input.  [default: as large as memory allows]"
    )
    device: Any = option(None, DEVICE, kind=str, metavar="DEVICE")
    dtype: Any = option(None, DTYPE, kind=DTypeName)
    consistency: bool = option(False, CONSISTENCY)
