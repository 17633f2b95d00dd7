"""Batch norm with the statistics of the batch, LeakyReLU and reflection padding, fused, forward and backward.

What stands between two convolutions of Deep Image Prior. Unfused it reads and writes the picture about eight times;
here the statistics read it once, and one more pass reads it and writes the padded result, in NHWC memory, which the
next convolution takes as it is. In the backward direction the border's gradient is folded in where it is read.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .arguments import check_beside, check_eps, check_pad, check_picture, check_slope
from .backend import LIBRARY, better_plain, choose
from .definitions import differentiate, plain
from .memory import empty_nhwc
from .norm_act_pad_kernels import apply_norm, differentiate_norm, statistics
from .reflect_pad import empty_padded, fill_border, fold_in_torch, interior

__all__ = ["norm_act_pad"]


def norm_act_pad(
    x: Tensor, weight: Tensor, bias: Tensor, slope: float, pad: int, eps: float = 1e-5, impl: str | None = None
) -> Tensor:
    """Return pad(leaky_relu(batch_norm(x))): what `definition` does in separate steps.

    Batch norm is in training mode: mean and variance are those of `x` over N, H and W. Statistics and arithmetic are
    in float32 (float64 for float64); reductions run in a fixed order, so that a rerun gives the same bits.
    Differentiable any number of times, by backward passes; the first is fused.

    Args:
        x: (N, C, H, W), float16, bfloat16, float32 or float64, of any strides; fastest in NHWC memory.
        weight: (C,), float32 (float64 for float64): the scale after normalising.
        bias: (C,), like `weight`.
        slope: of the LeakyReLU below zero, at least 0; 1 leaves the activation out.
        pad: pixels reflected on every side, less than each of them.
        eps: added to the variance.
        impl: auto (None), triton or torch. float64 always runs in torch.

    Returns:
        (N, C, H + 2 pad, W + 2 pad) in NHWC memory, of the dtype of `x`.

    Raises:
        TypeError, ValueError: an argument that cannot be used, named in the message.
    """
    check_picture("x", x)
    check_norm(x, x.shape[1], weight, bias, pad, eps)
    check_slope(slope)
    chosen = choose(x, impl)
    if better_plain(x, chosen):
        return plain(definition, x, weight, bias, slope=slope, pad=pad, eps=eps)
    result: Tensor = _NormActPad.apply(x, weight, bias, float(slope), pad, eps, chosen)
    return result


def definition(x: Tensor, weight: Tensor, bias: Tensor, slope: float, pad: int, eps: float = 1e-5) -> Tensor:
    """`norm_act_pad` by torch's own functions, one after the other."""
    normal = F.batch_norm(x, None, None, weight, bias, training=True, eps=eps)
    return F.pad(F.leaky_relu(normal, slope), (pad,) * 4, mode="reflect")


def check_norm(like: Tensor, channels: int, weight: Tensor, bias: Tensor, pad: int, eps: float) -> None:
    """Raise unless a norm over pictures `like` this one, but of so many `channels`, can have the other arguments."""
    wanted = torch.float64 if like.dtype == torch.float64 else torch.float32
    for name, vector in (("weight", weight), ("bias", bias)):
        check_beside(name, vector, like, (channels,), (wanted,))
    check_eps(eps)
    if like.numel() == like.shape[1]:
        raise ValueError(f"a norm over a single pixel is always zero; the picture has the shape {tuple(like.shape)}")
    check_pad((pad, pad), (like.shape[2], like.shape[3]))


class _NormActPad(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, slope: float, pad: int, eps: float, impl: str
    ) -> Tensor:
        y, mean, rstd = torch.ops.fastsr.norm_act_pad(x, weight, bias, slope, pad, eps, impl)
        # torch tells the sign before the activation from the result, the kernel computes it anew.
        ctx.save_for_backward(x, weight, bias, mean, rstd, y if impl == "torch" else None)
        ctx.arguments = slope, pad, eps, impl
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, rstd, y = ctx.saved_tensors
        slope, pad, eps, impl = ctx.arguments
        if torch.is_grad_enabled():  # gradients of gradients are asked for
            define = partial(definition, slope=slope, pad=pad, eps=eps)
            found = differentiate(define, (x, weight, bias), gradients[0], ctx.needs_input_grad)
            return *found, None, None, None, None
        found = torch.ops.fastsr.norm_act_pad_backward(gradients[0], x, weight, bias, mean, rstd, y, slope, pad, impl)
        return *found, None, None, None, None


# The operators

LIBRARY.define(
    "norm_act_pad(Tensor x, Tensor weight, Tensor bias, float slope, SymInt pad, float eps, str impl)"
    " -> (Tensor, Tensor, Tensor)"
)
LIBRARY.define(
    "norm_act_pad_backward(Tensor g, Tensor x, Tensor weight, Tensor bias, Tensor mean, Tensor rstd, Tensor? y,"
    " float slope, SymInt pad, str impl) -> (Tensor, Tensor, Tensor)"
)


@torch.library.register_fake("fastsr::norm_act_pad", lib=LIBRARY)
def _fake(
    x: Tensor, weight: Tensor, bias: Tensor, slope: float, pad: int, eps: float, impl: str
) -> tuple[Tensor, Tensor, Tensor]:
    return empty_padded(x, pad, pad), torch.empty_like(weight), torch.empty_like(weight)


@torch.library.register_fake("fastsr::norm_act_pad_backward", lib=LIBRARY)
def _fake_backward(
    g: Tensor, x: Tensor, weight: Tensor, bias: Tensor, *arguments: Any
) -> tuple[Tensor, Tensor, Tensor]:
    return empty_nhwc(x, *x.shape), torch.empty_like(weight), torch.empty_like(bias)


@torch.library.impl("fastsr::norm_act_pad", "CompositeExplicitAutograd", lib=LIBRARY)
def _run(
    x: Tensor, weight: Tensor, bias: Tensor, slope: float, pad: int, eps: float, impl: str
) -> tuple[Tensor, Tensor, Tensor]:
    weight, bias = weight.contiguous(), bias.contiguous()
    if impl == "triton":
        y = empty_padded(x, pad, pad)
        mean, rstd = statistics(x, eps)
        apply_norm(x, y, weight, bias, mean, rstd, slope, pad)
        return y, mean, rstd
    x = x.contiguous(memory_format=torch.channels_last)
    normal, mean, rstd = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
    y = empty_padded(x, pad, pad) if pad else normal
    torch.ops.aten.leaky_relu.out(normal, slope, out=interior(y, pad, pad))
    fill_border(y, pad, pad)
    return y, mean, rstd


@torch.library.impl("fastsr::norm_act_pad_backward", "CompositeExplicitAutograd", lib=LIBRARY)
def _run_backward(
    g: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    rstd: Tensor,
    y: Tensor | None,
    slope: float,
    pad: int,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor]:
    weight, bias = weight.contiguous(), bias.contiguous()
    if impl == "triton":
        return differentiate_norm(g, x, weight, bias, mean, rstd, slope, pad)
    assert y is not None
    x = x.contiguous(memory_format=torch.channels_last)
    g = fold_in_torch(g, pad, pad) if pad else g.contiguous(memory_format=torch.channels_last)
    g = torch.ops.aten.leaky_relu_backward(g, interior(y, pad, pad), slope, True)
    found = torch.ops.aten.native_batch_norm_backward(
        g, x, weight, None, None, mean, rstd, True, 0.0, [True, True, True]
    )
    return found
