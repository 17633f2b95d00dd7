"""The options of Deep Image Prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..options import DEVICE, DTYPE, SEED, option
from ..typing import DTypeName, Kernel

Task = Literal["upscale", "denoise", "inpaint", "restore"]
Preset = Literal["fast", "paper"]


@dataclass(frozen=True)
class DipOptions:
    """The arguments of `fastsr.dip` but the image, and the options of ``fastsr dip``."""

    factor: float | None = option(None, "Upscaling factor.  [default: 4 for task upscale, else 1]")
    task: Task = option(
        "upscale",
        "What to do. inpaint fills holes and removes text or watermarks; restore fills in all but scattered pixels.",
    )
    mask: Any = option(
        None,
        "Image of the size of IN, white where pixels are missing, black where they are known; or a folder with such "
        "an image for each IN, of the same name.",
        kind=str,
        metavar="FILE|DIR",
    )
    sigma: float | None = option(
        None, "Standard deviation of the noise to remove, in 8-bit levels, such as 25.  [default: unknown]"
    )
    kernel: Kernel | None = option(None, "Filter that downscaled IN, if you know it.  [default: lanczos2]")
    operator: Any = None
    preset: Any = option("fast", "Recipe: fast, or the paper's.", kind=Preset)
    steps: int | None = option(None, "Maximum number of optimizer steps.  [default: the preset's]")
    early_stop: bool | None = option(
        None, "Stop before the network reproduces the noise.  [default: for task denoise only]"
    )
    seed: int = option(0, SEED)
    device: Any = option(None, DEVICE, kind=str, metavar="DEVICE")
    dtype: Any = option(None, DTYPE, kind=DTypeName)
    consistency: bool | None = option(
        None,
        "Adjust the result so that its downscale equals IN where pixels are known.  [default: for tasks inpaint and "
        "restore, and for upscale with preset fast]",
    )
