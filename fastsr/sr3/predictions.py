"""What a network is trained to say of a noisy picture sqrt(gamma) x0 + sqrt(1 - gamma) n.

- "epsilon": the noise n, as in the paper;
- "v": sqrt(gamma) n - sqrt(1 - gamma) x0 (Salimans and Ho, arXiv 2202.00512);
- "x0": the picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

PREDICTIONS = ("epsilon", "v", "x0")


def target(prediction: str, gammas: Tensor) -> tuple[Tensor, Tensor]:
    """Return how much of x0 and how much of n is in what the network is to say, each of the shape of `gammas`."""
    if prediction == "epsilon":
        return torch.zeros_like(gammas), torch.ones_like(gammas)
    if prediction == "v":
        return -(1 - gammas).sqrt(), gammas.sqrt()
    return torch.ones_like(gammas), torch.zeros_like(gammas)


def seen(prediction: str, gammas: Tensor) -> tuple[Tensor, Tensor]:
    """Return how much of the noisy picture and how much of what the network says is in x0."""
    if prediction == "epsilon":
        return gammas.rsqrt(), -(1 / gammas - 1).sqrt()
    if prediction == "v":
        return gammas.sqrt(), -(1 - gammas).sqrt()
    return torch.zeros_like(gammas), torch.ones_like(gammas)
