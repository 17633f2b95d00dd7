"""The settings of SR3's training. The defaults are those of the paper (arXiv 2104.07636) for 16x16 to 128x128."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from ..checks import input_error, spell
from ..training.settings import CropSettings, at_least, one_of, setting
from .network import UNetConfig, attention_levels
from .sampling import SAMPLERS
from .schedules import PREDICTIONS, SCHEDULES, Schedule

SAMPLER = "dpm-solver++"
"""The sampler of validation and of sample sheets."""
LOSSES = ("l1", "l2")


@dataclass(frozen=True)
class TrainSettings(CropSettings):
    """The settings of SR3's training; each field holds the help text of its option."""

    batch: int = setting(256, "Batch size: images per step, over all processes.")
    ema: float = setting(0.9999, "EMA decay of the weights; 0 disables the EMA.")
    factor: int = setting(8, "Upscaling factor of each side.")
    crop: int = setting(128, "Side of the HR crops in pixels; for prepared squares, their side.")
    width: int = setting(64, "Channels at full resolution.")
    multipliers: tuple[int, ...] = setting(
        (1, 2, 4, 8, 8),
        "Multiplier of the width at each level: full resolution, half, and so on. Given once per level.",
    )
    blocks: int = setting(2, "Residual blocks per level.")
    attention: tuple[int, ...] = setting(
        (16,), "Side of features with self-attention; can be given several times. 0 for the bottleneck only."
    )
    groups: int = setting(32, "Groups of each group norm.")
    dropout: float = setting(0.2, "Dropout probability in the residual blocks.")
    schedule: str = setting("linear", f"Noise schedule: {', '.join(SCHEDULES)}.")
    schedule_steps: int = setting(2000, "Steps of the noise schedule.")
    schedule_start: float = setting(1e-6, "First beta of the noise schedule; cosine and const do not use it.")
    schedule_end: float = setting(1e-2, "Last beta of the noise schedule; cosine does not use it.")
    prediction: str = setting("epsilon", f"What the network predicts: {', '.join(PREDICTIONS)}.")
    loss: str = setting("l1", f"Loss of the prediction: {' or '.join(LOSSES)}.")
    steps: int = setting(1_000_000, "Training steps.")
    warm_up: int = setting(10_000, "Warm-up steps, in which the learning rate rises linearly.")
    val_steps: int = setting(20, "Sampling steps for validation and sample sheets.", free=True)

    def check(self) -> None:
        """Raise `InputError` for a setting that cannot be used."""
        super().check()
        one_of(self, "schedule", tuple(SCHEDULES))
        one_of(self, "prediction", PREDICTIONS)
        one_of(self, "loss", LOSSES)
        at_least(self, "schedule_steps", 2)
        for name in ("steps", "width", "blocks", "groups"):
            at_least(self, name, 1)
        at_least(self, "warm_up", 0)
        at_least(self, "val_steps", SAMPLERS[SAMPLER].min_steps)
        if not 0 < self.schedule_start <= self.schedule_end < 1:
            problem = f"and {spell('schedule_end', self.schedule_end)} cannot be used"
            advice = "give betas above 0 and below 1, the first not above the last, such as 1e-6 and 1e-2"
            raise input_error("schedule_start", self.schedule_start, problem, advice)
        multiple = self.network.multiple
        if self.crop % multiple:
            advice = f"a network with {len(self.multipliers)} multipliers needs a multiple of {multiple}"
            raise input_error("crop", self.crop, "cannot be used", advice)
        try:
            _ = self.alphas_cumprod
        except ValueError as error:
            raise input_error("schedule_steps", self.schedule_steps, f"cannot be used: {error}") from error

    @property
    def network(self) -> UNetConfig:
        """The shape of the network.

        Raises:
            InputError: there is no network of this shape.
        """
        config = UNetConfig(self.width, self.multipliers, self.blocks, (), self.groups, self.dropout)
        sides = [side for side in self.attention if side]
        return replace(config, attention=attention_levels(sides, self.crop, len(self.multipliers)))

    @cached_property
    def alphas_cumprod(self) -> Tensor:
        """The noise schedule, gamma_0 to gamma_T, float64 (schedule_steps + 1,).

        Raises:
            ValueError: it leaves too much of the image at the end.
        """
        return Schedule(self.schedule, self.schedule_steps, self.schedule_start, self.schedule_end).alphas_cumprod()

    def matters_from(self) -> Mapping[str, int]:
        """Return the number of steps before the first one that depends on a setting, for settings with such steps."""
        return {"steps": self.steps}
