"""What a Deep Image Prior run consists of: the paper's recipes and a fast one for each task."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

from ..errors import InputError, InputTypeError
from .network import HourglassConfig

PRESETS = ("fast", "paper")
TASKS = ("upscale", "denoise", "inpaint", "restore")
OPTIMIZERS = ("adam", "muon")
INPUTS = ("noise", "grid")


@dataclass(frozen=True)
class Recipe:
    """Everything that defines a fit except the picture and the seed.

    Attributes:
        network: the hourglass to fit.
        steps: optimiser steps, at the most where something ends the fit.
        optimizer: "adam", or "muon" for the convolution weights with Adam for the rest.
        learning_rate: of Adam.
        betas: decay rates of Adam's two moments.
        muon_learning_rate: of Muon.
        final_rate: what both learning rates, constant in the first half, fall towards in the second, linearly, as a
            part of what they were.
        input: of the network, "noise" or "grid" (two channels, x and y).
        noise: standard deviation of the noise added to the network's input at every step.
        average: decay of the running average of outputs that is the result.
        guarded: whether to go back to earlier weights when the fit is thrown back by more than 5 dB.
        consistent: whether the result is made to agree with the input at the end, unless the caller says otherwise.
        patience: steps without a new least variance of the outputs after which a fit of unknown noise ends.
    """

    network: HourglassConfig
    steps: int
    optimizer: str = "adam"
    learning_rate: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    muon_learning_rate: float = 0.02
    final_rate: float = 1.0
    input: str = "noise"
    noise: float = 0.03
    average: float = 0.98
    guarded: bool = False
    consistent: bool = False
    patience: int = 50

    def __post_init__(self) -> None:
        """Raise `InputError` for what cannot be run."""
        right: dict[str, tuple[bool, str]] = {
            "steps": (self.steps >= 1, "at least 1"),
            "optimizer": (self.optimizer in OPTIMIZERS, " or ".join(map(repr, OPTIMIZERS))),
            "input": (self.input in INPUTS, " or ".join(map(repr, INPUTS))),
            "network.input_channels": (self.input != "grid" or self.network.input_channels == 2, "2 for input='grid'"),
            "noise": (self.noise >= 0, "at least 0"),
            "average": (0 <= self.average < 1, "from 0 to below 1"),
        }
        for name, (fits, wanted) in right.items():
            if not fits:
                raise InputError(f"{name}={attrgetter(name)(self)!r} of a Recipe cannot be used; give {wanted}")


PAPER = HourglassConfig()
FAST = HourglassConfig(channels=(32, 64, 128, 128, 128))

TEXT = Recipe(HourglassConfig(skip_channels=128, upsampling="nearest"), steps=6001)
"""The paper's for text over a picture."""
REGION = Recipe(HourglassConfig(skip_channels=0, input_channels=2, upsampling="nearest"), steps=5001, input="grid")
"""The paper's for a large region, filled in smoothly: the vase."""
HOLE = Recipe(
    HourglassConfig((16, 32, 64, 128, 128, 128), 0, 1, upsampling="nearest", down_kernel=5, mix=False),
    steps=3001,
    noise=0.0,
)
"""The paper's for a large hole in a picture full of detail: the library."""

STRONG_NOISE = 50.0
"""Standard deviation, in levels of 8 bits, from which on the paper adds more noise to the input."""


def choose(
    task: str, preset: str | Recipe, *, factor: float = 1, sigma: float | None = None, wide: bool = False
) -> Recipe:
    """Return the recipe of `preset` for a task; a `Recipe` is its own.

    Args:
        task: one of `TASKS`.
        preset: one of `PRESETS`, or a recipe.
        factor: by which the picture is enlarged. The paper has recipes for x4 and x8; factors up to 4 take the first,
            larger ones the second.
        sigma: of noise, in levels of 8 bits; None where it is unknown.
        wide: whether a mask has holes in which text would not fit.

    Raises:
        InputError, InputTypeError: unknown preset.
    """
    if isinstance(preset, Recipe):
        return preset
    if not isinstance(preset, str):
        raise InputTypeError(f"preset is a {type(preset).__name__}; give {_choices()}")
    if preset not in PRESETS:
        raise InputError(f"preset={preset!r} is unknown; choose one of {_choices()}")
    recipes = {
        "upscale": lambda: upscale(preset, factor),
        "denoise": lambda: denoise(preset, sigma),
        "inpaint": lambda: inpaint(preset, wide),
        "restore": lambda: restore(preset),
    }
    return recipes[task]()


def _choices() -> str:
    return f"{', '.join(map(repr, PRESETS))} or a Recipe (from fastsr.dip.recipes import Recipe)"


def upscale(preset: str, factor: float) -> Recipe:
    """Return the recipe for super-resolution by `factor`."""
    small = factor <= 4
    noise = 0.03 if small else 0.05
    if preset == "paper":
        return Recipe(PAPER, steps=2000 if small else 5000, noise=noise)
    return Recipe(FAST, steps=300, optimizer="muon", final_rate=0.1, noise=noise, consistent=True)


def denoise(preset: str, sigma: float | None) -> Recipe:
    """Return the recipe for noise of `sigma` levels of 8 bits."""
    noise = 1 / 20 if sigma is not None and sigma >= STRONG_NOISE else 1 / 30
    if preset == "paper":
        return Recipe(PAPER, steps=3000, noise=noise, average=0.99, guarded=True, patience=500)
    return Recipe(FAST, steps=500, optimizer="muon", noise=noise, average=0.95)


def inpaint(preset: str, wide: bool) -> Recipe:
    """Return the recipe for filling in what a mask hides."""
    if preset == "paper":
        return HOLE if wide else TEXT
    return Recipe(FAST, steps=400, optimizer="muon", final_rate=0.1)


def restore(preset: str) -> Recipe:
    """Return the recipe for a picture of which scattered pixels are known."""
    if preset == "paper":
        return Recipe(PAPER, steps=11000, learning_rate=0.001)
    return Recipe(FAST, steps=400, optimizer="muon", final_rate=0.1)
