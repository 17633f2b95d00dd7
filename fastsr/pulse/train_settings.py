"""The settings of StyleGAN's training; the defaults are those for one GPU (arXiv 1812.04948, 2006.06676)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import InputError
from ..training.settings import Settings, at_least, one_of, setting
from .network import Architecture

SMALLEST = 8
GAMMA = 2e-4
"""The default of gamma, times the batch, for each pixel of a picture: that of arXiv 2006.06676."""


@dataclass(frozen=True)
class TrainSettings(Settings):
    """All settings; the help of each is with it."""

    val: str | None = setting(None, "Folder of other pictures, to validate on.  [default: none]", free=True)
    batch: int = setting(32, "Pictures a step, over all processes.")
    precision: str = setting("float32", "float32, or mixed with bfloat16.")
    ema: float = setting(0.998, "How much of an average of the generator a step keeps; 0 for no average.")
    resolution: int | None = setting(
        None, "Side of the pictures in pixels: 8, 16, ... or 1024.  [default: that of the training pictures]"
    )
    latent: int = setting(512, "Numbers in a latent row.")
    mapping_layers: int = setting(8, "Layers of the mapping network.")
    fmap_base: int = setting(8192, "Channels of both networks at a side are twice this over the side ...")
    fmap_max: int = setting(512, "... and at most this.")
    mixing: float = setting(0.9, "The part of the pictures that is drawn of two latents.")
    rate: float = setting(2e-3, "Learning rate of both networks.")
    gamma: float | None = setting(
        None, "Weight of the gradient penalty R1.  [default: 0.0002 x pixels of a picture / batch]"
    )
    penalty_every: int = setting(16, "Steps between gradient penalties, each counted so many times.")
    augment_target: float = setting(
        0.6, "How sure of real pictures the discriminator may be before they are changed more; 0 to change none."
    )
    augment_images: int = setting(500_000, "Pictures in which the probability of changes could grow from 0 to 1.")
    steps: int = setting(800_000, "Steps.")

    def check(self) -> None:
        """Raise `InputError` for a value that cannot be used, with the name of the setting."""
        super().check()
        one_of(self, "precision", ("float32", "bfloat16"))
        for name in ("penalty_every", "augment_images", "steps"):
            at_least(self, name, 1)
        for name in ("mixing", "augment_target"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}={getattr(self, name)} cannot be used; give a number from 0 to 1")
        if not 0 < self.rate < math.inf:
            raise InputError(f"rate={self.rate} cannot be used; give a number above 0, such as 2e-3")
        if self.gamma is not None and not 0 <= self.gamma < math.inf:
            raise InputError(f"gamma={self.gamma} cannot be used; give a number of at least 0, such as 1.0")
        self.architecture(self.resolution or SMALLEST)

    def architecture(self, resolution: int) -> Architecture:
        """Return the shape of the generator.

        Raises:
            InputError: there is no such generator.
        """
        try:
            return Architecture(resolution, self.latent, self.mapping_layers, self.fmap_base, self.fmap_max)
        except ValueError as error:
            raise InputError(str(error)) from error

    def penalty_weight(self, resolution: int) -> float:
        """Return gamma."""
        return GAMMA * resolution**2 / self.batch if self.gamma is None else self.gamma

    def matters_from(self) -> Mapping[str, int]:
        """For settings on which only later steps depend, the number of steps before the first such step."""
        return {"steps": self.steps}
