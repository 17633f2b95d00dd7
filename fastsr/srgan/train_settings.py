"""The settings of SRGAN's training; the defaults are the paper's (Ledig et al., arXiv 1609.04802)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import InputError
from ..training.settings import CropSettings, at_least, one_of, setting
from .discriminator import SHRINKS
from .network import NORMS, PADDINGS, SCALES, SRResNetConfig
from .vgg import LAYERS

PIXEL_LOSSES = ("mse", "l1")
OPTIMIZERS = ("adam", "muon")
PIXELS = "mse"
"""The content loss that is none of features."""


@dataclass(frozen=True)
class TrainSettings(CropSettings):
    """All settings; the help of each is with it."""

    factor: int = setting(4, "How many times larger each side becomes: 2, 4 or 8.")
    blocks: int = setting(16, "Residual blocks of the generator.")
    width: int = setting(64, "Channels of the generator.")
    padding: str = setting("zeros", "What the generator sees beyond the border: zeros or reflect.")
    norm: str = setting("batch", "Norms of the generator: batch, as in the paper, or none, which trains faster.")
    mse_steps: int = setting(1_000_000, "Steps of the first stage, by a loss of pixels alone: SRResNet.")
    gan_steps: int = setting(200_000, "Steps of the second stage, with a discriminator: SRGAN.")
    cooldown: int = setting(0, "Steps at the end of the first stage over which its rate falls evenly towards zero.")
    pixel_loss: str = setting(
        "mse", "Loss of pixels in both stages: mse, as in the paper, or l1, which is better for PSNR at a high rate."
    )
    warm_up: int = setting(0, "Steps at the start of the training over which the learning rate rises evenly.")
    optimizer: str = setting(
        "adam",
        "Optimizer of the generator: adam, as in the paper, or muon, which orthogonalizes the updates of the hidden "
        "convolutions and learns in fewer steps.",
    )
    rate: float = setting(1e-4, "Learning rate; a tenth of it in the second half of the second stage.")
    beta1: float = setting(0.9, "Of Adam.")
    content: str = setting("vgg54", "Content loss of the second stage: vgg54, vgg22 or another layer of VGG19, or mse.")
    vgg_weights: str | None = setting(
        None, "Path or URL of VGG19's weights.  [default: torchvision's, downloaded once]"
    )
    pixel: float = setting(0.0, "Weight of the loss of pixels beside a content loss of features.")
    adversarial: float = setting(1e-3, "Weight of the adversarial loss.")

    def check(self) -> None:
        """Raise `InputError` for a value that cannot be used, with the name of the setting."""
        one_of(self, "factor", SCALES)
        super().check()
        one_of(self, "padding", PADDINGS)
        one_of(self, "norm", NORMS)
        one_of(self, "pixel_loss", PIXEL_LOSSES)
        one_of(self, "optimizer", OPTIMIZERS)
        one_of(self, "content", (PIXELS, *LAYERS))
        for name in ("blocks", "width"):
            at_least(self, name, 1)
        for name in ("mse_steps", "gan_steps", "cooldown", "warm_up", "pixel", "adversarial"):
            at_least(self, name, 0)
        if not self.mse_steps + self.gan_steps:
            raise InputError("mse_steps=0 and gan_steps=0 leave nothing to train; give one of them")
        if self.cooldown > self.mse_steps:
            raise InputError(f"cooldown={self.cooldown} cannot be used; mse_steps={self.mse_steps} is the most")
        for name, usual in (("pixel", "0.1"), ("adversarial", "1e-3")):
            if getattr(self, name) == math.inf:
                raise InputError(f"{name}=inf cannot be used; give a number of at least 0, such as {usual}")
        if self.pixel and self.content == PIXELS:
            raise InputError(f"pixel={self.pixel} cannot be used with content={PIXELS!r}, which is that loss; give 0")
        if not 0 <= self.beta1 < 1:
            raise InputError(f"beta1={self.beta1} cannot be used; give a number from 0 to less than 1, such as 0.9")
        if self.gan_steps and self.crop % SHRINKS:
            raise InputError(f"crop={self.crop} cannot be used; the discriminator needs a multiple of {SHRINKS}")
        least = self.factor * (max(SRResNetConfig().kernels) // 2 + 1)
        if self.padding == "reflect" and self.crop < least:
            raise InputError(f"crop={self.crop} cannot be used; padding='reflect' needs at least {least}")

    @property
    def generator(self) -> SRResNetConfig:
        """The generator's shape."""
        return SRResNetConfig(self.blocks, self.width, self.factor, self.padding, norm=self.norm)

    def check_part(self, crops: int) -> None:
        """Raise `InputError` where a process cannot work on so few crops at once: batch norms need several values."""
        smallest = self.crop // (SHRINKS if self.gan_steps else self.factor)
        if crops * smallest**2 == 1:
            raise InputError(
                f"crop={self.crop} cannot be used with batch={self.batch}, of which a process works on one crop at a "
                f"time; give crop={2 * self.crop}, or a larger batch"
            )

    def matters_from(self) -> Mapping[str, int]:
        """For settings on which only later steps depend, the number of steps before the first such step."""
        end = dict.fromkeys(("mse_steps", "cooldown"), self.mse_steps - self.cooldown)
        second = dict.fromkeys(("content", "vgg_weights", "pixel", "adversarial"), self.mse_steps)
        return {**end, **second, "gan_steps": self.mse_steps + self.gan_steps // 2}
