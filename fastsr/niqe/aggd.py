"""Asymmetric generalised Gaussian distributions, fitted by their moments.

The density has a shape alpha and a scale on either side of zero, beta_left and beta_right. The fit is that of
Lasmar et al. (2009), "Multiscale skewed heavy tailed model for texture analysis", over a grid of shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

STEPS_PER_UNIT = 1000
LEAST_SHAPE, LARGEST_SHAPE = 200, 10000  # 0.2 and 10 in steps


@dataclass(frozen=True, eq=False)
class Aggd:
    """Fitted distributions, one for each element of these tensors."""

    alpha: Tensor
    beta_left: Tensor
    beta_right: Tensor

    @property
    def mean(self) -> Tensor:
        """The mean (beta_right - beta_left) Gamma(2 / alpha) / Gamma(1 / alpha)."""
        return (self.beta_right - self.beta_left) * (torch.lgamma(2 / self.alpha) - torch.lgamma(1 / self.alpha)).exp()


def fit(values: Tensor) -> Aggd:
    """Fit a distribution to every row of `values`, (n, samples).

    The shape is that of 0.2, 0.201, ..., 10 whose ratio Gamma(2/alpha)^2 / (Gamma(1/alpha) Gamma(3/alpha)) comes
    nearest to that of the moments. Rows without a negative or without a positive value have no ratio: their shape is
    0.2, the first of the grid, as MATLAB's min has it, and the scale of that side is NaN.

    Returns:
        Tensors (n,) of the dtype of `values`.
    """
    left = _root_mean_square(values.clamp(max=0), values < 0)
    right = _root_mean_square(values.clamp(min=0), values > 0)
    skew = left / right
    ratio = values.abs().mean(1).square() / values.square().mean(1)
    ratio = ratio * (skew**3 + 1) * (skew + 1) / (skew.square() + 1).square()
    shapes, borders = _grid(values.dtype, values.device)
    # The ratio grows with the shape, so that the nearest one lies between two borders.
    alpha = shapes[torch.searchsorted(borders, ratio.nan_to_num(0))]
    scale = (0.5 * (torch.lgamma(1 / alpha) - torch.lgamma(3 / alpha))).exp()
    return Aggd(alpha, left * scale, right * scale)


def _root_mean_square(side: Tensor, there: Tensor) -> Tensor:
    return (side.square().sum(1) / there.sum(1)).sqrt()


@lru_cache(maxsize=4)
def _grid(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the shapes, and between each two the ratio from which on the larger one is nearer."""
    shapes = torch.arange(LEAST_SHAPE, LARGEST_SHAPE + 1, dtype=torch.float64) / STEPS_PER_UNIT
    ratios = (2 * torch.lgamma(2 / shapes) - torch.lgamma(1 / shapes) - torch.lgamma(3 / shapes)).exp()
    return shapes.to(device, dtype), ((ratios[1:] + ratios[:-1]) / 2).to(device, dtype)
