"""What the search makes small: the distance to the image given, and the angles between latent rows.

Loss strings are sums such as "100*L2+0.05*GEOCROSS" (Menon et al., arXiv 2003.03808). The loss of an image does not
depend on those beside it in a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import input_error, number, spell
from ..errors import InputError, InputTypeError

L1_GAIN = 10.0
GEOCROSS_GAIN = 512 / 8
"""As published for rows of 512 numbers; an angle does not depend on how many there are."""
ONE_DIRECTION = 1 - 5e-7
"""Cosines beyond it are those of 0 or pi: float32 cannot tell such angles apart, and acos has no gradient there."""
TINY = 1e-12
"""For rows of zeros, which have no direction."""
FORM = "a sum of L2, L1 and GEOCROSS with weights, such as '100*L2+0.05*GEOCROSS'"


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts; `str` of it is a loss string.

    Attributes:
        l2: of `l2`, which counts as eps where it is below eps.
        l1: of `l1`.
        geocross: of `geocross`.
    """

    l2: float = 0.0
    l1: float = 0.0
    geocross: float = 0.0

    def __post_init__(self) -> None:
        weights = [number(f"loss.{name}", weight, FORM) for name, weight in vars(self).items()]
        if not all(0 <= weight < math.inf for weight in weights):
            raise InputError(f"loss={self} has a weight that is negative or not finite; give {FORM}")
        if self.l2 == self.l1 == 0:
            raise InputError(f"loss={self} does not look at the image; give L2 or L1 a weight above 0")

    def __str__(self) -> str:
        named = {"L2": self.l2, "L1": self.l1, "GEOCROSS": self.geocross}
        return "+".join(f"{weight:g}*{name}" for name, weight in named.items() if weight != 0) or "0"


def parse(loss: Any) -> LossWeights:
    """Return what a loss string means; spaces and case do not matter, and a term without a weight counts once.

    Raises:
        InputTypeError: `loss` is neither a string nor a `LossWeights`.
        InputError: a part of it is no term, or a term that was there already.
    """
    if isinstance(loss, LossWeights):
        return loss
    if not isinstance(loss, str):
        raise input_error("loss", loss, f"is a {type(loss).__name__}", f"give {FORM}", kind=InputTypeError)
    weights: dict[str, float] = {}
    for part in loss.split("+"):
        weight, _, name = (text.strip() for text in part.rpartition("*"))
        try:
            counts = float(weight) if "*" in part else 1.0
        except ValueError:
            raise InputError(f"{spell('loss', loss)}: {weight!r} is no number; give {FORM}") from None
        if name.upper() not in ("L2", "L1", "GEOCROSS"):
            raise InputError(f"{spell('loss', loss)}: {name!r} is no term; give {FORM}")
        if name.lower() in weights:
            raise input_error("loss", loss, f"has {name} twice", f"give {FORM}")
        weights[name.lower()] = counts
    return LossWeights(**weights)


def total(weights: LossWeights, distance: Tensor, difference: Tensor, latents: Tensor, eps: float) -> Tensor:
    """Return the loss of each image, (N,).

    Args:
        weights: of the terms.
        distance: `l2` of `difference`, (N,).
        difference: the downscaled images less those given, (N, C, h, w).
        latents: what the generator is given, (N, rows, latent); a single row stands for equal ones.
        eps: the least that `distance` counts.
    """
    loss = weights.l2 * distance.clamp(min=eps)
    if weights.l1:
        loss = loss + weights.l1 * l1(difference)
    if weights.geocross and latents.shape[1] > 1:
        loss = loss + weights.geocross * geocross(latents)
    return loss


def l2(difference: Tensor) -> Tensor:
    """Return the mean square of each image, (N, C, h, w) -> (N,)."""
    return difference.square().mean((1, 2, 3))


def l1(difference: Tensor) -> Tensor:
    """Return 10 times the mean absolute value of each image, (N, C, h, w) -> (N,)."""
    return L1_GAIN * difference.abs().mean((1, 2, 3))


def geocross(latents: Tensor) -> Tensor:
    """Return 64 times the mean square of the angles between the rows of each image, (N, rows, latent) -> (N,).

    The mean is over all rows x and all rows y, x itself among them. Their angle is 2 atan2(|x - y|, |x + y|), that
    of rows of one length, which is acos(2 x.y / (x.x + y.y)): the table of their products is all that is needed.
    """
    products = latents @ latents.mT
    squares = products.diagonal(dim1=1, dim2=2)
    sums = (squares[:, :, None] + squares[:, None, :]).clamp(min=TINY)
    cosines = 2 * products / sums
    told_apart = cosines.abs() < ONE_DIRECTION
    angles = torch.acos(cosines.masked_fill(~told_apart, 0))
    angles = torch.where(told_apart, angles, math.pi * (cosines < 0).to(angles))
    return GEOCROSS_GAIN * angles.square().mean((1, 2))
