"""Muon (Keller Jordan, 2024): momentum whose matrix-shaped updates are made orthogonal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..muon import orthogonalise


class Muon(torch.optim.Optimizer):
    """Nesterov momentum with orthogonalised updates, for matrices that lie one after the other in a vector.

    The update of a matrix is U V^T of its momentum times ``lr * sqrt(max(1, rows / columns))``. Matrices are
    orthogonalised in batches, laid flat: on a CPU, where the arithmetic counts, a batch for each shape; elsewhere all
    at once, filled up with zeros, so that a step takes a few operations however many matrices there are.
    `torch.optim.Muon` goes from one to the next.
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
        batches, back = _layout(shapes, together=vector.device.type != "cpu")
        self._batches, self._back = [batch.to(vector.device) for batch in batches], back.to(vector.device)
        scales = [max(1.0, rows / columns) ** 0.5 for rows, columns in shapes]
        sizes = [rows * columns for rows, columns in shapes]
        scale = torch.tensor(scales, dtype=torch.float32, device="cpu")
        self._scale = scale.repeat_interleave(torch.tensor(sizes, device="cpu")).to(vector.device)

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
            filled = F.pad(update, (0, 1))
            orthogonal = torch.cat([orthogonalise(filled[batch]).flatten() for batch in self._batches])
            vector.sub_(orthogonal[self._back] * self._scale * group["lr"])


def _layout(shapes: Sequence[tuple[int, int]], together: bool) -> tuple[list[Tensor], Tensor]:
    """Return for each batch of flat matrices where its elements come from, and where those of the vector then lie.

    Elements that fill up come from one beyond the vector's last. Batches lie one after the other, in the end.
    """
    flat_shapes = [(min(shape), max(shape)) for shape in shapes]
    height, width = (max(sides) for sides in zip(*flat_shapes, strict=True))
    sizes = [rows * columns for rows, columns in shapes]
    batches: dict[tuple[int, int], list[Tensor]] = {}
    for numbers, (rows, columns), flat_shape in zip(
        torch.arange(sum(sizes), device="cpu").split(sizes), shapes, flat_shapes, strict=True
    ):
        matrix = numbers.view(rows, columns)
        flat = matrix.mT if rows > columns else matrix
        target = (height, width) if together else flat_shape
        padding = (0, target[1] - flat.shape[1], 0, target[0] - flat.shape[0])
        batches.setdefault(target, []).append(F.pad(flat, padding, value=sum(sizes)))
    stacked = [torch.stack(batch) for batch in batches.values()]
    sources = torch.cat([batch.flatten() for batch in stacked])
    back = torch.empty(sum(sizes) + 1, dtype=torch.long, device="cpu")
    back[sources] = torch.arange(len(sources), device="cpu")
    return stacked, back[:-1]
