"""Noise maps of a generator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def draw_noises(sides: Sequence[int], count: int, random: torch.Generator) -> list[Tensor]:
    """Return normally distributed maps (count, 1, side, side), float32, on the device of `random`."""
    shapes = [(count, 1, side, side) for side in sides]
    return [torch.randn(shape, generator=random, dtype=torch.float32, device=random.device) for shape in shapes]


def zero_noises(sides: Sequence[int], count: int, device: torch.device) -> list[Tensor]:
    """Return maps of zeros (count, 1, side, side), float32."""
    return [torch.zeros(count, 1, side, side, dtype=torch.float32, device=device) for side in sides]
