"""Schedules of the learning rate: by how much it is multiplied at each step."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

SCHEDULES = {
    "fixed": ((0.0, 1.0), (1.0, 1.0)),
    "linear1cycle": ((0.0, 0.1), (0.5, 1.0), (1.0, 0.1)),
    "linear1cycledrop": ((0.0, 0.1), (0.45, 1.0), (0.9, 0.1), (1.0, 0.001)),
}
"""The part of the steps that is done, and the factor there; between them it changes evenly."""


def factors(schedule: str, steps: int) -> Tensor:
    """Return the factor of each step, float32 (steps,).

    Args:
        schedule: a name of `SCHEDULES`; "linear1cycledrop" is that of PULSE.
        steps: how many there will be.
    """
    anchors = SCHEDULES[schedule]
    done = torch.arange(steps, dtype=torch.float64, device="cpu") / steps
    result = torch.full_like(done, anchors[0][1])
    for (begin, first), (end, last) in pairwise(anchors):
        result = torch.where(done >= begin, first + (last - first) * (done - begin) / (end - begin), result)
    return result.float()
