"""Noise schedules: how much of an image is left after each step of the forward diffusion.

A schedule is alphas_cumprod, which SR3 calls gamma: gamma_0 = 1, gamma_1, ... gamma_T in float64. After step t an image
x0 has become

    x_t = sqrt(gamma_t) x0 + sqrt(1 - gamma_t) n,    n standard normal,

and gamma_t is the product of the first t factors 1 - beta. The end of the file has the three quantities that a network
can predict from x_t: the noise "epsilon", "v" and "x0".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import input_error, spell

FLOAT64_ON_CPU: dict[str, Any] = {"dtype": torch.float64, "device": "cpu"}
"""Schedules are computed like this, whatever default dtype and device the caller has set."""
MAX_BETA = 0.999
"""The largest beta of the cosine schedule."""
COSINE_OFFSET = 8e-3
"""The offset s of the cosine schedule."""
MAX_FINAL_GAMMA = 0.05
"""The largest gamma_T: a sampler starts from pure noise, so it must be nearly what the training ends with."""


@dataclass(frozen=True)
class Schedule:
    """A noise schedule by name; the defaults are those of SR3.

    Attributes:
        name: "linear", "cosine", "quad", "warmup10", "warmup50" or "const".
        steps: number of diffusion steps T.
        start: first beta; "cosine" and "const" do not use it.
        end: last beta; "cosine" does not use it.

    Raises:
        InputError: the name is unknown, there are fewer than 2 steps, or a beta is out of range.
    """

    name: str = "linear"
    steps: int = 2000
    start: float = 1e-6
    end: float = 1e-2

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise input_error("schedule", self.name, "is unknown", f"use one of {', '.join(SCHEDULES)}")
        if self.steps < 2:
            raise input_error("steps", self.steps, "of the schedule is not a whole number of at least 2")
        if not 0 < self.start <= self.end < 1:
            problem = f"and {spell('end', self.end)} are not betas with 0 < start <= end < 1"
            raise input_error("start", self.start, problem)

    def alphas_cumprod(self) -> Tensor:
        """Return gamma_0 = 1 to gamma_T, float64 (steps + 1,), on the CPU.

        Raises:
            ValueError: gamma_T is so large that an image is still visible at the end.
        """
        gammas = alphas_cumprod_of(SCHEDULES[self.name](self))
        if gammas[-1] > MAX_FINAL_GAMMA:
            raise ValueError(
                f"a schedule {self.name!r} of {self.steps} steps up to beta {self.end} ends at gamma "
                f"{gammas[-1].item():.3f}, where the image is still visible; give more steps, or a larger end"
            )
        return gammas


def alphas_cumprod_of(betas: Tensor) -> Tensor:
    """Return gamma_0 = 1 to gamma_T of betas (T,): the cumulative products of 1 - beta, float64 (T + 1,)."""
    return torch.cat([betas.new_ones(1, dtype=torch.float64), torch.cumprod(1 - betas.double(), 0)])


def is_alphas_cumprod(values: Tensor) -> bool:
    """Return whether a tensor of any shape is a valid schedule: it falls from 1, and never reaches 0."""
    return (
        values.ndim == 1 and len(values) > 2 and bool(values[0] == 1 and (values.diff() < 0).all() and values[-1] > 0)
    )


def _linear(schedule: Schedule) -> Tensor:
    return torch.linspace(schedule.start, schedule.end, schedule.steps, **FLOAT64_ON_CPU)


def _quad(schedule: Schedule) -> Tensor:
    return torch.linspace(schedule.start**0.5, schedule.end**0.5, schedule.steps, **FLOAT64_ON_CPU) ** 2


def _constant(schedule: Schedule) -> Tensor:
    return torch.full((schedule.steps,), schedule.end, **FLOAT64_ON_CPU)


def _warm_up(share: float) -> Callable[[Schedule], Tensor]:
    """Return the schedule that rises linearly for a share of the steps, and is constant from there on."""

    def make_betas(schedule: Schedule) -> Tensor:
        betas = _constant(schedule)
        count = int(share * schedule.steps)
        betas[:count] = torch.linspace(schedule.start, schedule.end, count, **FLOAT64_ON_CPU)
        return betas

    return make_betas


def _cosine(schedule: Schedule) -> Tensor:
    """Nichol and Dhariwal, "Improved denoising diffusion probabilistic models" (arXiv 2102.09672), equation 17."""
    times = torch.arange(schedule.steps + 1, **FLOAT64_ON_CPU) / schedule.steps
    gammas = torch.cos((times + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2) ** 2
    return (1 - gammas[1:] / gammas[:-1]).clamp(max=MAX_BETA)


SCHEDULES: dict[str, Callable[[Schedule], Tensor]] = {
    "linear": _linear,
    "cosine": _cosine,
    "quad": _quad,
    "warmup10": _warm_up(0.1),
    "warmup50": _warm_up(0.5),
    "const": _constant,
}
"""For each name a function that returns the betas, float64 (T,)."""


PREDICTIONS = ("epsilon", "v", "x0")
"""What a network can predict: the noise n, v = sqrt(gamma) n - sqrt(1 - gamma) x0, or the image x0."""


def target_coefficients(prediction: str, gammas: Tensor) -> tuple[Tensor, Tensor]:
    """Return the coefficients of the training target, target = a x0 + b n.

    Args:
        prediction: one of `PREDICTIONS`.
        gammas: gamma of each noisy image, of any shape.

    Returns:
        a and b, each of the shape of `gammas`.
    """
    if prediction == "epsilon":
        return torch.zeros_like(gammas), torch.ones_like(gammas)
    if prediction == "v":
        return -(1 - gammas).sqrt(), gammas.sqrt()
    return torch.ones_like(gammas), torch.zeros_like(gammas)


def x0_coefficients(prediction: str, gammas: Tensor) -> tuple[Tensor, Tensor]:
    """Return the coefficients that recover the image from the output of the network, x0 = a x_t + b output.

    The arguments and the shapes are those of `target_coefficients`.
    """
    if prediction == "epsilon":
        return gammas.rsqrt(), -(1 / gammas - 1).sqrt()
    if prediction == "v":
        return gammas.sqrt(), -(1 - gammas).sqrt()
    return torch.zeros_like(gammas), torch.ones_like(gammas)
