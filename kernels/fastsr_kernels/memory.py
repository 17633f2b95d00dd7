"""In what order pictures lie in memory, and memory for results."""

from __future__ import annotations

import torch
from torch import Tensor


def memory_order(x: Tensor) -> torch.memory_format:
    """Return channels_last where the channels of `x` are next to each other, else contiguous."""
    return torch.channels_last if x.stride(1) == 1 and not x.is_contiguous() else torch.contiguous_format


def empty_in_order(x: Tensor, *shape: int) -> Tensor:
    """Return memory for (N, C, H, W) in the `memory_order` of `x`, of its dtype and on its device."""
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=memory_order(x))


def empty_nhwc(like: Tensor, *shape: int) -> Tensor:
    """Return memory for (N, C, H, W) in NHWC order, of the dtype and on the device of `like`."""
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def channels_adjacent(x: Tensor) -> Tensor:
    """Return `x` (N, C, H, W) itself where its channels are next to each other in memory, else an NHWC copy."""
    return x if x.stride(1) == 1 or x.shape[1] == 1 else x.contiguous(memory_format=torch.channels_last)


def strides(x: Tensor) -> tuple[int, int, int]:
    """Return the strides of N, H and W."""
    return x.stride(0), x.stride(2), x.stride(3)


def rows(x: Tensor, like: Tensor) -> Tensor:
    """Return `x` (N, C, H, W) as (N, pixels, C), a copy unless the steps are those of a part of `like`, dense."""
    order = torch.contiguous_format if like.is_contiguous() else torch.channels_last
    adjacent = x.stride(1) == 1 if order == torch.channels_last else x.stride(3) == 1
    if not adjacent or x.stride(2) != x.shape[3] * x.stride(3):
        x = x.contiguous(memory_format=order)
    return x.flatten(2).transpose(1, 2)
