"""What a Deep Image Prior run consists of: the paper's recipe and the fast one."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError
from .network import HourglassConfig

PRESETS = ("fast", "paper")


@dataclass(frozen=True)
class Recipe:
    """Everything that defines a fit except the picture and the seed.

    Attributes:
        network: the hourglass to fit.
        steps: optimiser steps.
        optimizer: "adam", or "muon" for the convolution weights with Adam for the rest.
        learning_rate: of Adam.
        betas: decay rates of Adam's two moments.
        muon_learning_rate: of Muon.
        final_rate: what both learning rates, constant in the first half, fall towards in the second, linearly, as a
            part of what they were.
        noise: standard deviation of the noise added to the network's input at every step.
        average: decay of the running average of outputs that is the result.
    """

    network: HourglassConfig
    steps: int
    optimizer: str = "adam"
    learning_rate: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    muon_learning_rate: float = 0.02
    final_rate: float = 1.0
    noise: float = 0.03
    average: float = 0.98


def super_resolution(preset: str, factor: float) -> Recipe:
    """Return the recipe of `preset` for super-resolution by `factor`.

    The paper gives x4 and x8; factors up to 4 take the first, larger ones the second.

    Raises:
        InputError: unknown preset.
    """
    if preset not in PRESETS:
        raise InputError(f"preset={preset!r} is unknown; choose one of {', '.join(map(repr, PRESETS))}")
    small = factor <= 4
    noise = 0.03 if small else 0.05
    if preset == "paper":
        return Recipe(HourglassConfig(), steps=2000 if small else 5000, noise=noise)
    if small:
        return Recipe(HourglassConfig(channels=(32,) * 5), steps=300, optimizer="muon", noise=noise)
    # Muon fits the few pixels of a larger factor before the prior has done its work. docs/dip.md has what was tried.
    wide_below = HourglassConfig(channels=(64, 128, 128, 128, 128))
    return Recipe(wide_below, steps=800, learning_rate=0.02, final_rate=0.1, noise=noise)
