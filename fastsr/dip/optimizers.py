"""Muon (Keller Jordan, 2024): momentum whose matrix-shaped updates are made orthogonal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

# Coefficients of the odd quintic that pushes every singular value into about [0.7, 1.2] within five steps.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalise(matrices: Tensor) -> Tensor:
    """Return approximately U V^T for each matrix U S V^T of a batch (B, rows, columns), by Newton-Schulz."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)  # singular values at most 1
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum with orthogonalised updates, for convolution weights.

    A weight (out, in, k, k) counts as a matrix (out, in*k*k); its update is U V^T of the momentum times
    ``lr * sqrt(max(1, rows / columns))``. Weights of one shape are orthogonalised as one batch, which
    `torch.optim.Muon` (2-D parameters, one by one) does not do.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 0.02, momentum: float = 0.9):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every weight that has a gradient; `closure` is not used."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape[weight.shape].append(weight)
            for shape, weights in by_shape.items():
                updates = torch.stack([self._momentum(w, group["momentum"]).flatten(1) for w in weights])
                rows, columns = updates.shape[1:]
                scale = group["lr"] * max(1.0, rows / columns) ** 0.5
                for weight, update in zip(weights, orthogonalise(updates), strict=True):
                    weight.sub_(update.view(shape), alpha=scale)

    def _momentum(self, weight: Tensor, momentum: float) -> Tensor:
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["average"] = torch.zeros_like(weight)
        state["average"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(state["average"], momentum)
