"""The options of SR3."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from ..options import CONSISTENCY, DEVICE, DTYPE, SEED, option
from ..pretrained import DEFAULTS
from ..typing import DTypeName

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from .checkpoints import Checkpoint
    from .sampling import State

Sampler = Literal["dpm-solver++", "ddim", "ddpm"]
Spacing = Literal["log-snr", "time", "karras"]


@dataclass(frozen=True)
class SR3Options:
    """The arguments of `fastsr.sr3` but the image, and the options of ``fastsr sr3``."""

    weights: Any = option(
        None,
        "A checkpoint file, a URL (may end in #sha256=DIGITS), or a name listed by `fastsr weights`.  "
        f"[default: {DEFAULTS['sr3']}]",
        kind=str,
        metavar="FILE|URL|NAME",
    )
    factor: float | None = option(None, "Upscaling factor.  [default: the one the weights were trained for]")
    steps: int = option(20, "Number of denoising steps; more is slower.")
    sampler: Sampler = option("dpm-solver++", "dpm-solver++ for few steps; ddpm is the paper's, for many.")
    spacing: Spacing | None = option(
        None, "Spacing of the steps along the noise schedule.  [default: time for ddpm, else log-snr]"
    )
    samples: int | None = option(
        None, "Draw N different results, written as OUT_1 to OUT_N.  [default: one, as OUT]", metavar="N"
    )
    seed: int = option(0, SEED)
    consistency: bool = option(True, CONSISTENCY)
    tile: int | None = option(
        None, "Maximum side of a tile, in pixels of the result.  [default: twice the side of the training images]"
    )
    device: Any = option(None, DEVICE, kind=str, metavar="DEVICE")
    dtype: Any = option(None, DTYPE, kind=DTypeName)


class Keywords(TypedDict, total=False):
    """The keyword arguments of `fastsr.sr3` but `samples`, for the overloads on it."""

    weights: str | os.PathLike[str] | Checkpoint | None
    steps: int
    sampler: Sampler
    spacing: Spacing | None
    seed: int
    consistency: bool
    tile: int | None
    device: str | torch.device | None
    dtype: DTypeName | torch.dtype | None
    progress: bool
    callback: Callable[[int, Tensor, State], None] | None
