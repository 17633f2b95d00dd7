"""Schedules of noise: how much of a picture is left after each step of the diffusion it is trained on.

A noise curve is gamma_0 = 1, gamma_1, ... gamma_T, float64: after step t a picture is
sqrt(gamma_t) x0 + sqrt(1 - gamma_t) n, and gamma_t is the product of the first t factors 1 - beta.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

ON_CPU: dict[str, Any] = {"dtype": torch.float64, "device": "cpu"}
"""Whatever the caller's defaults are."""
LARGEST_BETA = 0.999
COSINE_OFFSET = 8e-3
PURE = 0.05
"""What gamma_T may be at the most: a sampler begins with noise alone, and training must have seen nearly that."""


@dataclass(frozen=True)
class Schedule:
    """A schedule by name; the defaults are those of SR3.

    Attributes:
        name: "linear", "cosine", "quad", "warmup10", "warmup50" or "const".
        steps: T.
        start: the first beta; "cosine" and "const" have no use for it.
        end: the last beta; "cosine" has no use for it.
    """

    name: str = "linear"
    steps: int = 2000
    start: float = 1e-6
    end: float = 1e-2

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise ValueError(f"schedule={self.name!r} is unknown; use one of {', '.join(SCHEDULES)}")
        if self.steps < 2:
            raise ValueError(f"steps={self.steps!r} of the schedule is not a whole number of at least 2")
        if not 0 < self.start <= self.end < 1:
            raise ValueError(f"start={self.start!r} and end={self.end!r} are not betas with 0 < start <= end < 1")

    def curve(self) -> Tensor:
        """Return the noise curve, float64 (steps + 1,).

        Raises:
            ValueError: it leaves more of a picture than noise can be taken for.
        """
        gammas = curve_of(SCHEDULES[self.name](self))
        if gammas[-1] > PURE:
            raise ValueError(
                f"a schedule {self.name!r} of {self.steps} steps up to beta {self.end} ends at gamma "
                f"{gammas[-1].item():.3f}, where a picture can still be seen; give more steps, or a larger end"
            )
        return gammas


def curve_of(betas: Tensor) -> Tensor:
    """Return the noise curve of betas (T,), float64 (T + 1,)."""
    return torch.cat([betas.new_ones(1, dtype=torch.float64), torch.cumprod(1 - betas.double(), 0)])


def is_curve(curve: Tensor) -> bool:
    """Whether numbers of any shape can be a noise curve: from 1 down, and never 0, out of which no picture comes."""
    return curve.ndim == 1 and len(curve) > 2 and bool(curve[0] == 1 and (curve.diff() < 0).all() and curve[-1] > 0)


def _linear(schedule: Schedule) -> Tensor:
    return torch.linspace(schedule.start, schedule.end, schedule.steps, **ON_CPU)


def _quad(schedule: Schedule) -> Tensor:
    return torch.linspace(schedule.start**0.5, schedule.end**0.5, schedule.steps, **ON_CPU) ** 2


def _constant(schedule: Schedule) -> Tensor:
    return torch.full((schedule.steps,), schedule.end, **ON_CPU)


def _warm_up(part: float) -> Callable[[Schedule], Tensor]:
    def betas(schedule: Schedule) -> Tensor:
        found = _constant(schedule)
        count = int(part * schedule.steps)
        found[:count] = torch.linspace(schedule.start, schedule.end, count, **ON_CPU)
        return found

    return betas


def _cosine(schedule: Schedule) -> Tensor:
    """Nichol and Dhariwal, "Improved denoising diffusion probabilistic models" (arXiv 2102.09672), equation 17."""
    times = torch.arange(schedule.steps + 1, **ON_CPU) / schedule.steps
    left = torch.cos((times + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2) ** 2
    return (1 - left[1:] / left[:-1]).clamp(max=LARGEST_BETA)


SCHEDULES: dict[str, Callable[[Schedule], Tensor]] = {
    "linear": _linear,
    "cosine": _cosine,
    "quad": _quad,
    "warmup10": _warm_up(0.1),
    "warmup50": _warm_up(0.5),
    "const": _constant,
}
"""The betas of each schedule, float64 (T,)."""
