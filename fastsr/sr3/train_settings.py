"""The settings of SR3's training; the defaults are the paper's, for 16x16 to 128x128 (arXiv 2104.07636)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from ..errors import InputError
from ..training.settings import CropSettings, at_least, one_of, setting
from .network import UNetConfig, levels_of
from .predictions import PREDICTIONS
from .samplers import SAMPLERS
from .schedules import SCHEDULES, Schedule

SAMPLER = "dpm-solver++"
"""What validation and sheets are drawn by."""
LOSSES = ("l1", "l2")


@dataclass(frozen=True)
class TrainSettings(CropSettings):
    """All settings; the help of each is with it."""

    batch: int = setting(256, "Pictures a step, over all processes.")
    ema: float = setting(0.9999, "How much of an average of the weights a step keeps; 0 for no average.")
    factor: int = setting(8, "How many times larger each side becomes.")
    crop: int = setting(128, "Side of the HR crops in pixels: that of the pictures, where they are prepared squares.")
    width: int = setting(64, "Channels at full size.")
    multipliers: tuple[int, ...] = setting(
        (1, 2, 4, 8, 8), "Of the width: given once for full size, once for half, and so on."
    )
    blocks: int = setting(2, "Residual blocks at each size.")
    attention: tuple[int, ...] = setting(
        (16,), "Side of the features with attention; can be given several times. 0 for that in the middle alone."
    )
    groups: int = setting(32, "Of the norms.")
    dropout: float = setting(0.2, "The part of the features that a block leaves out.")
    schedule: str = setting("linear", f"Of the noise: {', '.join(SCHEDULES)}.")
    schedule_steps: int = setting(2000, "Steps of the schedule.")
    schedule_start: float = setting(1e-6, "Its first beta; cosine and const have none.")
    schedule_end: float = setting(1e-2, "Its last beta; cosine has none.")
    prediction: str = setting("epsilon", f"What the network says: {', '.join(PREDICTIONS)}.")
    loss: str = setting("l1", f"Of what it says: {' or '.join(LOSSES)}.")
    steps: int = setting(1_000_000, "Steps.")
    warm_up: int = setting(10_000, "Steps in which the learning rate grows to its full height.")
    val_steps: int = setting(20, "Steps in which pictures are drawn for validation and sheets.", free=True)

    def check(self) -> None:
        """Raise `InputError` for a value that cannot be used, with the name of the setting."""
        super().check()
        one_of(self, "schedule", tuple(SCHEDULES))
        one_of(self, "prediction", PREDICTIONS)
        one_of(self, "loss", LOSSES)
        at_least(self, "schedule_steps", 2)
        for name in ("steps", "width", "blocks", "groups"):
            at_least(self, name, 1)
        at_least(self, "warm_up", 0)
        at_least(self, "val_steps", SAMPLERS[SAMPLER].least)
        if not 0 < self.schedule_start <= self.schedule_end < 1:
            raise InputError(
                f"schedule_start={self.schedule_start} and schedule_end={self.schedule_end} cannot be used; give betas "
                "above 0 and below 1, the first not above the last, such as 1e-6 and 1e-2"
            )
        try:
            multiple = self.network.multiple
        except ValueError as error:
            raise InputError(str(error)) from error
        if self.crop % multiple:
            raise InputError(
                f"crop={self.crop} cannot be used; a network with {len(self.multipliers)} multipliers needs a multiple "
                f"of {multiple}"
            )
        try:
            _ = self.curve
        except ValueError as error:
            raise InputError(f"schedule_steps={self.schedule_steps} cannot be used: {error}") from error

    @property
    def network(self) -> UNetConfig:
        """The network's shape.

        Raises:
            ValueError: there is no such network.
        """
        config = UNetConfig(self.width, self.multipliers, self.blocks, (), self.groups, self.dropout)
        sides = [side for side in self.attention if side]
        return replace(config, attention=levels_of(sides, self.crop, len(self.multipliers)))

    @cached_property
    def curve(self) -> Tensor:
        """The noise curve.

        Raises:
            ValueError: it ends too early.
        """
        return Schedule(self.schedule, self.schedule_steps, self.schedule_start, self.schedule_end).curve()

    def matters_from(self) -> Mapping[str, int]:
        """For settings on which only later steps depend, the number of steps before the first such step."""
        return {"steps": self.steps}
