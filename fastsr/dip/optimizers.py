"""Muon (Keller Jordan, 2024): momentum whose matrix-shaped updates are made orthogonal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# Coefficients of the odd quintic that pushes every singular value into about [0.7, 1.2] within five steps.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalise(matrices: Tensor) -> Tensor:
    """Return approximately U V^T for each matrix U S V^T of a batch (B, rows, columns), by Newton-Schulz.

    Fastest with no more rows than columns. Rows and columns of zeros at the end stay zero.
    """
    a, b, c = COEFFICIENTS
    x = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)  # singular values at most 1
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum with orthogonalised updates, for matrices that lie one after the other in a vector.

    The update of a matrix is U V^T of its momentum times ``lr * sqrt(max(1, rows / columns))``. All matrices are
    orthogonalised as one batch, laid flat and filled up with zeros, so that a step takes a few operations however many
    matrices there are; `torch.optim.Muon` goes from one to the next.
    """

    def __init__(
        self,
        params: Sequence[Tensor],
        shapes: Sequence[tuple[int, int]],
        lr: float = 0.02,
        momentum: float = 0.9,
    ):
        """Take the vector, alone in `params`, and the (rows, columns) of its matrices."""
        super().__init__(params, {"lr": lr, "momentum": momentum})
        (vector,) = params
        self._batch, self._back, self._scale = (part.to(vector.device) for part in _layout(shapes))

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update the vector by its gradient; `closure` is not used."""
        for group in self.param_groups:
            (vector,) = group["params"]
            state, momentum = self.state[vector], group["momentum"]
            if not state:
                state["average"] = torch.zeros_like(vector)
            state["average"].lerp_(vector.grad, 1 - momentum)
            update = vector.grad.lerp(state["average"], momentum)
            matrices = F.pad(update, (0, 1))[self._batch]
            orthogonal = orthogonalise(matrices) * self._scale
            vector.sub_(orthogonal.flatten()[self._back] * group["lr"])


def _layout(shapes: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Return where each element of the batch comes from, where each of the vector's goes, and the matrices' scales.

    Elements that fill up come from one beyond the vector's last.
    """
    count = sum(rows * columns for rows, columns in shapes)
    height, width = max(min(shape) for shape in shapes), max(max(shape) for shape in shapes)
    batch = torch.full((len(shapes), height, width), count, device="cpu")
    first = 0
    for matrix, (rows, columns) in zip(batch, shapes, strict=True):
        numbers = torch.arange(first, first + rows * columns, device="cpu").view(rows, columns)
        flat = numbers.mT if rows > columns else numbers
        matrix[: flat.shape[0], : flat.shape[1]] = flat
        first += rows * columns
    back = torch.empty(count + 1, dtype=torch.long, device="cpu")
    back[batch.flatten()] = torch.arange(batch.numel(), device="cpu")
    scales = [max(1.0, rows / columns) ** 0.5 for rows, columns in shapes]
    scale = torch.tensor(scales, dtype=torch.float32, device="cpu")
    return batch, back[:count], scale[:, None, None]
