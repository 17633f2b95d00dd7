"""What the ops ask of their arguments, and how they name one that cannot be used."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_dtype(name: str, x: Tensor) -> None:
    """Raise TypeError unless `x` is of one of `DTYPES`."""
    if x.dtype not in DTYPES:
        raise TypeError(f"{name} must be float16, bfloat16, float32 or float64, not {x.dtype}")


def check_picture(name: str, x: Tensor, *, empty: bool = False) -> None:
    """Raise unless `x` is (N, C, H, W), of one of `DTYPES`; with `empty`, there may be no numbers in it."""
    check_dtype(name, x)
    if x.ndim != 4 or (x.numel() == 0 and not empty):
        sizes = "(N, C, H, W)" if empty else "(N, C, H, W), none of them 0"
        raise ValueError(f"{name} must have the shape {sizes}, not {tuple(x.shape)}")


def check_beside(
    name: str, tensor: Tensor, like: Tensor, shape: tuple[int, ...], dtypes: Collection[torch.dtype]
) -> None:
    """Raise unless `tensor` has this shape and one of `dtypes`, and is where the picture `like` is."""
    if tensor.dtype not in dtypes:
        wanted = " or ".join(sorted({str(dtype) for dtype in dtypes}))
        raise TypeError(f"{name} must be {wanted} for a picture of {like.dtype}, not {tensor.dtype}")
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
    """Raise ValueError unless a picture of `size` = (height, width) can be padded by `pad` = (rows, columns)."""
    if min(pad) < 0:
        raise ValueError(f"pad={pad} is negative")
    if pad[0] >= size[0] or pad[1] >= size[1]:
        raise ValueError(
            f"a picture of {size[0]}x{size[1]} pixels (height x width) has too few to reflect {pad[0]} rows and "
            f"{pad[1]} columns; each pad must be less than the side it extends"
        )
