"""An op run by its definition: where there are few elements, and for gradients of gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .backend import no_autocast


def plain(definition: Callable[..., Tensor], *tensors: Tensor, **numbers: float) -> Tensor:
    """Return what `definition` gives, untouched by autocast and in NHWC memory."""
    with no_autocast(tensors[0].device):
        return definition(*tensors, **numbers).contiguous(memory_format=torch.channels_last)


def differentiate(
    function: Callable[..., Tensor], inputs: tuple[Tensor, ...], gradient: Tensor, wanted: tuple[bool, ...]
) -> list[Tensor | None]:
    """Return the gradients of `function` for those of `inputs` that are `wanted`, themselves differentiable."""
    # Inputs may depend on each other, or be the same: differentiated is by views, which nothing else depends on.
    views = [x.view_as(x) for x in inputs]
    with no_autocast(gradient.device):
        output = function(*views)
        asked = [view for view, want in zip(views, wanted, strict=False) if want]
        found = iter(torch.autograd.grad(output, asked, gradient, create_graph=True))
    return [next(found) if want else None for _, want in zip(inputs, wanted, strict=False)]
