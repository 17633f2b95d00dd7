"""Optimisers on spheres: after each step every row is brought back to the length that it began with.

Numbers drawn from a normal distribution in many dimensions lie near a sphere; PULSE searches on it (Menon et al.,
arXiv 2003.03808).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, optim

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(optim.Adam, fused=True),
    "adamw": partial(optim.AdamW, fused=True),
    "adamax": optim.Adamax,
    "sgd": partial(optim.SGD, fused=True),
}
TINY = 1e-12
"""A row of zeros stays one."""


class Spherical:
    """An optimiser of `OPTIMIZERS` over tensors (N, rows, ...), each row of which keeps its length.

    Every number is updated by its own gradient, so that no picture of a batch depends on another. A step can be
    captured in a CUDA graph.
    """

    def __init__(self, optimizer: str, parameters: Sequence[Tensor], learning_rate: Tensor):
        """Take the name of the optimiser, the tensors, and the learning rate, which is read at each step."""
        capturable: dict[str, Any] = {}
        if learning_rate.is_cuda and optimizer != "sgd":
            capturable["capturable"] = True
        self._parameters = list(parameters)
        self._radii = [_lengths(parameter).clone() for parameter in parameters]
        self._inner = OPTIMIZERS[optimizer](self._parameters, lr=learning_rate, **capturable)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Update the tensors by their gradients."""
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        self._inner.step()
        for parameter, radius in zip(self._parameters, self._radii, strict=True):
            parameter.mul_(radius / _lengths(parameter).clamp(min=TINY))


def _lengths(x: Tensor) -> Tensor:
    """Return the length of each row, (N, rows, 1, ...)."""
    return x.detach().flatten(2).norm(dim=2).view(*x.shape[:2], *(1,) * (x.ndim - 2))
