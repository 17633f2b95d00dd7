"""The parameters of a network as two vectors, so that a step casts and updates them in a few operations."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Weights:
    """The float32 parameters of a network: the optimiser's, from which each step makes those that it computes with.

    A convolution's weight lies in NHWC order, (out, height, width, in), as the activations do. The parameters are
    taken away from the network; `install` gives it tensors in their place. (`torch.func.functional_call` does so too,
    but looks every module up at every call: milliseconds, of a step that may take less.)

    Attributes:
        matrices: all weights of convolutions, one after the other.
        vectors: everything else: scales, shifts and biases.
        shapes: name -> shape of each parameter, in the order in which they lie.
    """

    def __init__(self, network: nn.Module, device: torch.device):
        """Move the parameters of `network` to `device`."""
        # Sizes that are multiples of 8 first: what lies behind an odd one would be loaded number by number.
        named = dict(sorted(network.named_parameters(), key=lambda item: -math.gcd(item[1].numel(), 8)))
        self.shapes = {name: p.shape for name, p in named.items()}
        parts = [
            torch.cat([_to_nhwc(p.detach()).flatten().float() for p in named.values() if (p.ndim == 4) == is_matrix])
            for is_matrix in (True, False)
        ]
        self.matrices, self.vectors = (part.to(device).requires_grad_() for part in parts)
        self._places = {}
        for name in named:
            path, _, attribute = name.rpartition(".")
            self._places[name] = network.get_submodule(path), attribute
            delattr(*self._places[name])

    def views(self, matrices: Tensor, vectors: Tensor) -> dict[str, Tensor]:
        """Return the parts of vectors that are laid out as these two are, under the names of the parameters."""
        split = {}
        for is_matrix, vector in ((True, matrices), (False, vectors)):
            shapes = {name: shape for name, shape in self.shapes.items() if (len(shape) == 4) == is_matrix}
            parts = vector.split([shape.numel() for shape in shapes.values()])
            split.update({name: _from_nhwc(part, shapes[name]) for name, part in zip(shapes, parts, strict=True)})
        return split

    def install(self, dtype: torch.dtype) -> None:
        """Give the network what it computes with: the convolutions' weights in `dtype`, the others in float32.

        A gradient for these tensors arrives in `matrices` and `vectors`.
        """
        for name, part in self.views(self.matrices.to(dtype), self.vectors).items():
            setattr(*self._places[name], part)


def _to_nhwc(p: Tensor) -> Tensor:
    return p.permute(0, 2, 3, 1) if p.ndim == 4 else p


def _from_nhwc(part: Tensor, shape: torch.Size) -> Tensor:
    if len(shape) != 4:
        return part.view(shape)
    return part.view(shape[0], shape[2], shape[3], shape[1]).permute(0, 3, 1, 2)
