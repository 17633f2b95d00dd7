"""How much memory a backward pass needs, found by asking autograd what it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def saved_for_backward(forward: Callable[[], Tensor], own: Iterable[Tensor] = ()) -> tuple[int, int]:
    """Return the bytes that autograd saves when `forward` is called, and those of the largest tensor among them.

    Args:
        forward: what is called, once; gradients are recorded.
        own: tensors that are there already, weights for one.
    """
    there = {tensor.untyped_storage().data_ptr() for tensor in own}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in there:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = forward()
    del output  # what was saved lives until here, so that no two tensors had one address
    return sum(kept.values()), max(kept.values(), default=0)
