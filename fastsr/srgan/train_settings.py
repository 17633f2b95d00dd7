"""The settings of SRGAN's training; the defaults are the paper's (Ledig et al., arXiv 1609.04802)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..checks import input_error, spell
from ..errors import InputError
from ..training.settings import CropSettings, at_least, one_of, setting
from .networks import NORMS, PADDINGS, SCALES, SHRINKS, SRResNetConfig
from .vgg import LAYERS

PIXEL_LOSSES = ("mse", "l1")
OPTIMIZERS = ("adam", "muon")
CONTENT_MSE = "mse"
"""The content loss that compares pixels in place of features."""


@dataclass(frozen=True)
class TrainSettings(CropSettings):
    """All settings, each with its help text."""

    factor: int = setting(4, "Scale factor: 2, 4 or 8.")
    blocks: int = setting(16, "Residual blocks of the generator.")
    width: int = setting(64, "Channels of the generator.")
    padding: str = setting("zeros", "Padding of the generator's convolutions: zeros or reflect.")
    norm: str = setting("batch", "Normalization in the generator: batch, as in the paper, or none.")
    mse_steps: int = setting(1_000_000, "Steps of the first stage, with the pixel loss alone (SRResNet).")
    gan_steps: int = setting(200_000, "Steps of the second stage, with the discriminator (SRGAN).")
    cooldown: int = setting(0, "Steps at the end of the first stage with a linear decay of the learning rate to 0.")
    pixel_loss: str = setting("mse", "Pixel loss of both stages: mse, as in the paper, or l1.")
    warm_up: int = setting(0, "Steps of linear learning rate warm-up.")
    optimizer: str = setting("adam", "Optimizer of the generator: adam, as in the paper, or muon.")
    rate: float = setting(1e-4, "Learning rate; divided by 10 in the second half of the second stage.")
    beta1: float = setting(0.9, "Adam beta1.")
    content: str = setting("vgg54", "Content loss of the second stage: vgg54, vgg22 or another layer of VGG19, or mse.")
    vgg_weights: str | None = setting(
        None, "Path or URL of the VGG19 weights.  [default: torchvision's, downloaded once]"
    )
    pixel: float = setting(0.0, "Weight of the pixel loss in the second stage, beside a content loss of VGG features.")
    adversarial: float = setting(1e-3, "Weight of the adversarial loss.")

    def check(self) -> None:
        """Raise `InputError`, with the name of the setting, for a value that cannot be used."""
        one_of(self, "factor", SCALES)
        super().check()
        one_of(self, "padding", PADDINGS)
        one_of(self, "norm", NORMS)
        one_of(self, "pixel_loss", PIXEL_LOSSES)
        one_of(self, "optimizer", OPTIMIZERS)
        one_of(self, "content", (CONTENT_MSE, *LAYERS))
        for name in ("blocks", "width"):
            at_least(self, name, 1)
        for name in ("mse_steps", "gan_steps", "cooldown", "warm_up", "pixel", "adversarial"):
            at_least(self, name, 0)
        self._check_stages()
        self._check_losses()
        self._check_crop()

    def _check_stages(self) -> None:
        if not self.mse_steps + self.gan_steps:
            both = f"{spell('mse_steps', 0)} and {spell('gan_steps', 0)}"
            raise InputError(f"{both} leave nothing to train; give one of them")
        if self.cooldown > self.mse_steps:
            most = f"{spell('mse_steps', self.mse_steps)} is the most"
            raise input_error("cooldown", self.cooldown, "cannot be used", most)
        if not 0 <= self.beta1 < 1:
            advice = "give a number from 0 to less than 1, such as 0.9"
            raise input_error("beta1", self.beta1, "cannot be used", advice)

    def _check_losses(self) -> None:
        for name, usual in (("pixel", "0.1"), ("adversarial", "1e-3")):
            if getattr(self, name) == math.inf:
                advice = f"give a number of at least 0, such as {usual}"
                raise input_error(name, math.inf, "cannot be used", advice)
        if self.pixel and self.content == CONTENT_MSE:
            problem = f"cannot be used with {spell('content', CONTENT_MSE)}, which is the pixel loss"
            raise input_error("pixel", self.pixel, problem, "give 0")

    def _check_crop(self) -> None:
        if self.gan_steps and self.crop % SHRINKS:
            advice = f"the discriminator needs a multiple of {SHRINKS}"
            raise input_error("crop", self.crop, "cannot be used", advice)
        least = self.factor * (max(SRResNetConfig().kernels) // 2 + 1)
        if self.padding == "reflect" and self.crop < least:
            advice = f"{spell('padding', 'reflect')} needs at least {least}"
            raise input_error("crop", self.crop, "cannot be used", advice)

    @property
    def generator(self) -> SRResNetConfig:
        """The configuration of the generator."""
        return SRResNetConfig(self.blocks, self.width, self.factor, self.padding, norm=self.norm)

    def check_part(self, crops: int) -> None:
        """Raise `InputError` if a micro-batch of `crops` crops is too small for batch norms, which need two values."""
        smallest = self.crop // (SHRINKS if self.gan_steps else self.factor)
        if crops * smallest**2 == 1:
            batch = spell("batch", self.batch)
            problem = f"cannot be used with {batch}, of which a process works on one crop at a time"
            raise input_error("crop", self.crop, problem, f"give {spell('crop', 2 * self.crop)}, or a larger batch")

    def matters_from(self) -> Mapping[str, int]:
        """Return for settings that affect only later steps the number of steps before the first such step."""
        end = dict.fromkeys(("mse_steps", "cooldown"), self.mse_steps - self.cooldown)
        second = dict.fromkeys(("content", "vgg_weights", "pixel", "adversarial"), self.mse_steps)
        return {**end, **second, "gan_steps": self.mse_steps + self.gan_steps // 2}
