"""Enlarging by two with a blur, and shrinking by two with one: linear, and each the scaled adjoint of the other.

The blur is StyleGAN's: [1, 2, 1] / 4 along both axes, with zeros outside the picture. Behind the enlargement by nearest
neighbour, or before the mean of 2 x 2 pixels, it leaves four taps an axis:

    upsample_blur:    y[2 i] = (x[i - 1] + 3 x[i]) / 4,    y[2 i + 1] = (3 x[i] + x[i + 1]) / 4
    blur_downsample:  x[i] = (y[2 i - 1] + 3 y[2 i] + 3 y[2 i + 1] + y[2 i + 2]) / 8
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .arguments import check_picture
from .backend import LIBRARY, choose, no_autocast
from .memory import empty_in_order, memory_order
from .upsample_blur_kernels import launch_down, launch_up

__all__ = ["blur", "blur_downsample", "down_definition", "up_definition", "upsample_blur"]


def upsample_blur(x: Tensor, *, impl: str | None = None) -> Tensor:
    """Return `x` (N, C, H, W) enlarged by nearest neighbour and blurred: (N, C, 2 H, 2 W).

    Differentiable any number of times, by backward passes; the gradient is 4 `blur_downsample`.

    Args:
        x: float16, bfloat16, float32 or float64, of any strides.
        impl: auto (None), triton or torch. float64 always runs in torch.

    Returns:
        A new tensor of the dtype of `x`; channels_last where that is the order of `x`, else contiguous. The sums are
        made in float32 (float64 for float64), and their results rounded to the dtype once.

    Raises:
        TypeError: the dtype is none of those above.
        ValueError: `x` has not four dimensions, or `impl` cannot run here.
    """
    check_picture("x", x, empty=True)
    result: Tensor = _Up.apply(x, 1.0, choose(x, impl))
    return result


def blur_downsample(x: Tensor, *, impl: str | None = None) -> Tensor:
    """Return the means of 2 x 2 pixels of the blurred `x` (N, C, 2 H, 2 W): (N, C, H, W).

    The gradient is `upsample_blur` / 4; arguments, result and errors are like those of `upsample_blur`.

    Raises:
        ValueError: a side of `x` is odd.
    """
    check_picture("x", x, empty=True)
    if x.shape[-2] % 2 or x.shape[-1] % 2:
        raise ValueError(f"x must have even sides to be halved, not {x.shape[-2]}x{x.shape[-1]} (height x width)")
    result: Tensor = _Down.apply(x, 1.0, choose(x, impl))
    return result


class _Up(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: float, impl: str) -> Tensor:
        ctx.arguments = gain, impl
        y: Tensor = torch.ops.fastsr.upsample_blur(x, gain, impl)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gain, impl = ctx.arguments
        return _Down.apply(gradients[0], 4 * gain, impl), None, None


class _Down(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: float, impl: str) -> Tensor:
        ctx.arguments = gain, impl
        y: Tensor = torch.ops.fastsr.blur_downsample(x, gain, impl)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gain, impl = ctx.arguments
        return _Up.apply(gradients[0], gain / 4, impl), None, None


# The operators: the ops times a gain, which the gradients of each other have.

LIBRARY.define("upsample_blur(Tensor x, float gain, str impl) -> Tensor")
LIBRARY.define("blur_downsample(Tensor x, float gain, str impl) -> Tensor")


@torch.library.register_fake("fastsr::upsample_blur", lib=LIBRARY)
def _empty_up(x: Tensor, gain: float, impl: str) -> Tensor:
    return empty_in_order(x, *x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])


@torch.library.register_fake("fastsr::blur_downsample", lib=LIBRARY)
def _empty_down(x: Tensor, gain: float, impl: str) -> Tensor:
    return empty_in_order(x, *x.shape[:2], x.shape[2] // 2, x.shape[3] // 2)


@torch.library.impl("fastsr::upsample_blur", "CompositeExplicitAutograd", lib=LIBRARY)
def _run_up(x: Tensor, gain: float, impl: str) -> Tensor:
    y = _empty_up(x, gain, impl)
    return launch_up(x, y, gain) if impl == "triton" else _run_in_torch(_up_in_torch, x, y, gain)


@torch.library.impl("fastsr::blur_downsample", "CompositeExplicitAutograd", lib=LIBRARY)
def _run_down(x: Tensor, gain: float, impl: str) -> Tensor:
    y = _empty_down(x, gain, impl)
    return launch_down(x, y, gain) if impl == "triton" else _run_in_torch(_down_in_torch, x, y, gain)


# The definition


def blur(x: Tensor) -> Tensor:
    """Return `x` (N, C, H, W) blurred by [1, 2, 1] / 4 along both axes, with zeros outside."""
    taps = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    return F.conv2d(x, taps.outer(taps).expand(x.shape[1], 1, 3, 3), padding=1, groups=x.shape[1])


def up_definition(x: Tensor) -> Tensor:
    """`upsample_blur` by torch's own functions, one after the other."""
    return blur(F.interpolate(x, scale_factor=2, mode="nearest"))


def down_definition(x: Tensor) -> Tensor:
    """`blur_downsample` by torch's own functions, one after the other."""
    return F.avg_pool2d(blur(x), 2)


# The torch implementation: of several formulas, those that a CPU makes fastest in each order of memory.


def _run_in_torch(function: Callable[[Tensor, float], Tensor], x: Tensor, y: Tensor, gain: float) -> Tensor:
    """Return what `function` makes of `x`, of the dtype and the strides of `y`."""
    if y.numel() == 0:
        return y
    with no_autocast(x.device):
        made = function(x.to(torch.promote_types(x.dtype, torch.float32)), gain)
    return made if made.dtype == y.dtype and made.stride() == y.stride() else y.copy_(made)


def _up_in_torch(x: Tensor, gain: float) -> Tensor:
    if gain != 1:
        x = x * gain
    if memory_order(x) == torch.contiguous_format:
        return _double(_double(x, 3), 2)
    # Bilinear enlargement has these weights, but repeats the edge, where here zeros are.
    y = F.interpolate(x, scale_factor=2, mode="bilinear")
    for edge in (y[:, :, 0], y[:, :, -1], y[..., 0], y[..., -1]):
        edge *= 0.75
    return y


def _double(x: Tensor, axis: int) -> Tensor:
    """Enlarge along one axis."""
    y = x.new_empty(*x.shape[: axis + 1], 2, *x.shape[axis + 1 :])
    even, odd = y.unbind(axis + 1)
    others = x.shape[axis] - 1
    head, tail = x.narrow(axis, 0, others), x.narrow(axis, 1, others)
    torch.lerp(tail, head, 0.25, out=even.narrow(axis, 1, others))
    torch.lerp(head, tail, 0.25, out=odd.narrow(axis, 0, others))
    torch.mul(x.select(axis, 0), 0.75, out=even.select(axis, 0))
    torch.mul(x.select(axis, -1), 0.75, out=odd.select(axis, -1))
    return y.flatten(axis, axis + 1)


def _down_in_torch(x: Tensor, gain: float) -> Tensor:
    taps = torch.tensor([0.125, 0.375, 0.375, 0.125], dtype=x.dtype, device=x.device)
    kernel = (gain * taps.outer(taps)).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])
