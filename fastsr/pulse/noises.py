"""Noise maps of a generator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def draw_noises(sides: Sequence[int], count: int, random: torch.Generator) -> list[Tensor]:
    """Return normally distributed maps (count, 1, side, side), float32, on the device of `random`."""
    return [torch.randn(count, 1, side, side, generator=random, device=random.device) for side in sides]


def zero_noises(sides: Sequence[int], count: int, device: torch.device) -> list[Tensor]:
    """Return maps of zeros (count, 1, side, side), float32."""
    return [torch.zeros(count, 1, side, side, device=device) for side in sides]
