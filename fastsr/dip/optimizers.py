"""Muon (Keller Jordan, 2024), momentum with orthogonalised matrix updates, and the weights that optimisers update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..muon import orthogonalise


class Muon(torch.optim.Optimizer):
    """Nesterov momentum with orthogonalised updates, for matrices stored one after the other in a vector.

    The update of a matrix is U V^T of its momentum, where U S V^T is the singular value decomposition, times
    ``lr * sqrt(max(1, rows / columns))``. Matrices are orthogonalised in batches, transposed where they have more rows
    than columns: on a CPU, where arithmetic dominates, a batch for each shape; on other devices one batch, padded with
    zeros, so that a step takes a few operations however many matrices there are. `torch.optim.Muon` loops over the
    matrices instead.
    """

    def __init__(
        self,
        params: Sequence[Tensor],
        shapes: Sequence[tuple[int, int]],
        lr: float = 0.02,
        momentum: float = 0.9,
    ):
        """Take the vector, the only one of `params`, and the (rows, columns) of each matrix in it."""
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
            padded = F.pad(update, (0, 1))
            orthogonal = torch.cat([orthogonalise(padded[batch]).flatten() for batch in self._batches])
            vector.sub_(orthogonal[self._back] * self._scale * group["lr"])


def _layout(shapes: Sequence[tuple[int, int]], together: bool) -> tuple[list[Tensor], Tensor]:
    """Return index tensors from the vector to batches of wide matrices, and from the flattened batches to the vector.

    Each batch is (matrices, rows, columns) with rows <= columns, and holds the element of the vector that each of its
    elements is; padding has the index after the vector's last element. The second result, (elements of the vector,),
    has the position of each element in the flattened batches, one after the other.
    """
    wide_shapes = [(min(shape), max(shape)) for shape in shapes]
    height, width = (max(sides) for sides in zip(*wide_shapes, strict=True))
    sizes = [rows * columns for rows, columns in shapes]
    batches: dict[tuple[int, int], list[Tensor]] = {}
    for indices, (rows, columns), wide_shape in zip(
        torch.arange(sum(sizes), device="cpu").split(sizes), shapes, wide_shapes, strict=True
    ):
        matrix = indices.view(rows, columns)
        wide = matrix.mT if rows > columns else matrix
        target = (height, width) if together else wide_shape
        padding = (0, target[1] - wide.shape[1], 0, target[0] - wide.shape[0])
        batches.setdefault(target, []).append(F.pad(wide, padding, value=sum(sizes)))
    stacked = [torch.stack(batch) for batch in batches.values()]
    sources = torch.cat([batch.flatten() for batch in stacked])
    back = torch.empty(sum(sizes) + 1, dtype=torch.long, device="cpu")
    back[sources] = torch.arange(len(sources), device="cpu")
    return stacked, back[:-1]


class Weights:
    """The float32 master weights of a network, flattened into two vectors for the optimisers.

    A convolution's weight is stored in NHWC order, (out, height, width, in), like the activations. The parameters are
    removed from the network, and `install` puts tensors in their place at every step. (`torch.func.functional_call`
    does so too, but looks up every module at every call: that takes milliseconds, and a step may take less.)

    Attributes:
        matrices: the weights of all convolutions, one after the other.
        vectors: all other parameters: scales, shifts and biases.
        shapes: name -> shape of each parameter, in the order of storage.
    """

    def __init__(self, network: nn.Module, device: torch.device):
        """Move the parameters of `network` to `device`."""
        # Sizes that are multiples of 8 first: parameters behind an odd one are not aligned for vector loads.
        named = dict(sorted(network.named_parameters(), key=lambda item: -math.gcd(item[1].numel(), 8)))
        self.shapes = {name: p.shape for name, p in named.items()}
        parts = [
            torch.cat([_to_nhwc(p.detach()).flatten().float() for p in named.values() if (p.ndim == 4) == is_matrix])
            for is_matrix in (True, False)
        ]
        self.matrices, self.vectors = (part.to(device).requires_grad_() for part in parts)
        self._modules = {}
        for name in named:
            path, _, attribute = name.rpartition(".")
            self._modules[name] = network.get_submodule(path), attribute
            delattr(*self._modules[name])

    def views(self, matrices: Tensor, vectors: Tensor) -> dict[str, Tensor]:
        """Split vectors laid out like `matrices` and `vectors` into the parameters, by name, each in its own shape."""
        split = {}
        for is_matrix, vector in ((True, matrices), (False, vectors)):
            shapes = {name: shape for name, shape in self.shapes.items() if (len(shape) == 4) == is_matrix}
            parts = vector.split([shape.numel() for shape in shapes.values()])
            split.update({name: _from_nhwc(part, shapes[name]) for name, part in zip(shapes, parts, strict=True)})
        return split

    def install(self, dtype: torch.dtype) -> None:
        """Put the weights into the network: those of convolutions in `dtype`, all others in float32.

        Gradients flow from the network through these tensors to `matrices` and `vectors`.
        """
        for name, part in self.views(self.matrices.to(dtype), self.vectors).items():
            setattr(*self._modules[name], part)


def _to_nhwc(p: Tensor) -> Tensor:
    return p.permute(0, 2, 3, 1) if p.ndim == 4 else p


def _from_nhwc(part: Tensor, shape: torch.Size) -> Tensor:
    if len(shape) != 4:
        return part.view(shape)
    return part.view(shape[0], shape[2], shape[3], shape[1]).permute(0, 3, 1, 2)
