"""All that a sampler needs to know, before there is a picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .predictions import seen
from .samplers import SAMPLERS
from .spacings import SPACINGS


@dataclass(frozen=True, eq=False)
class Plan:
    """The steps of a sampler.

    Attributes:
        gammas: at which the network is asked, float64 (steps,).
        coefficients: of each step, as `fastsr_kernels.noise.reverse_step` takes them, float64 (steps, 6).
    """

    gammas: Tensor
    coefficients: Tensor

    @property
    def steps(self) -> int:
        """How many there are."""
        return len(self.gammas)


def plan(curve: Tensor, prediction: str, sampler: str, spacing: str, steps: int) -> Plan:
    """Return the steps of a sampler on the noise curve that a network was trained on.

    Args:
        curve: see `schedules`.
        prediction: of the network, see `predictions`.
        sampler: a name of `SAMPLERS`.
        spacing: a name of `SPACINGS`.
        steps: at least the sampler's ``least``.
    """
    gammas = SPACINGS[spacing](curve, steps)
    asked = gammas[:-1]
    sees = torch.stack(seen(prediction, asked), 1)
    return Plan(asked, torch.cat([sees, SAMPLERS[sampler].table(gammas)], 1))
