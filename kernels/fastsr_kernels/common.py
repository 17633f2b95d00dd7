"""What the ops have in common on the host: checks of arguments, memory for results, gradients of a definition."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import torch
from torch import Tensor

from .backend import no_autocast

# Checks of arguments


DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_dtype(name: str, x: Tensor) -> None:
    """Raise TypeError unless `x` is of one of `DTYPES`."""
    if x.dtype not in DTYPES:
        raise TypeError(f"{name} must be float16, bfloat16, float32 or float64, not {x.dtype}")


def check_image(name: str, x: Tensor, *, empty: bool = False) -> None:
    """Raise unless `x` is (N, C, H, W), of one of `DTYPES`; with `empty`, there may be no numbers in it."""
    check_dtype(name, x)
    if x.ndim != 4 or (x.numel() == 0 and not empty):
        sizes = "(N, C, H, W)" if empty else "(N, C, H, W), none of them 0"
        raise ValueError(f"{name} must have the shape {sizes}, not {tuple(x.shape)}")


def check_beside(
    name: str, tensor: Tensor, like: Tensor, shape: tuple[int, ...], dtypes: Collection[torch.dtype]
) -> None:
    """Raise unless `tensor` has this shape and one of `dtypes`, and is where the image `like` is."""
    if tensor.dtype not in dtypes:
        wanted = " or ".join(sorted({str(dtype) for dtype in dtypes}))
        raise TypeError(f"{name} must be {wanted} for an image of {like.dtype}, not {tensor.dtype}")
    if tensor.shape != shape or tensor.device != like.device:
        raise ValueError(
            f"{name} must have the shape {shape} on {like.device}, not {tuple(tensor.shape)} on {tensor.device}"
        )


def check_eps(eps: float) -> None:
    """Raise ValueError unless `eps` can be added to a variance."""
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps={eps} is not a variance; it must be finite and at least 0")


def check_slope(slope: float) -> None:
    """Raise ValueError unless `slope` can be that of a LeakyReLU."""
    if not 0 <= slope < math.inf:
        raise ValueError(f"slope={slope} is not a slope; it must be finite and at least 0 (ReLU), 1 for no activation")


def check_pad(pad: tuple[int, int], size: tuple[int, int]) -> None:
    """Raise ValueError unless an image of `size` = (height, width) can be padded by `pad` = (rows, columns)."""
    if min(pad) < 0:
        raise ValueError(f"pad={pad} is negative")
    if pad[0] >= size[0] or pad[1] >= size[1]:
        raise ValueError(
            f"an image of {size[0]}x{size[1]} pixels (height x width) has too few to reflect {pad[0]} rows and "
            f"{pad[1]} columns; each pad must be less than the side it extends"
        )


# Memory


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


# Definitions


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
