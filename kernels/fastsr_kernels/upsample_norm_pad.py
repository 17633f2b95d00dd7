"""Batch norm of a picture beside another one enlarged by two, with a reflected border, forward and backward.

What a scale of the hourglass network does where its branches meet. Unfused, the enlarged picture is written, copied
beside the other, read for the statistics, normalised and padded: each time at full size. Bilinear upsampling U is
linear and keeps constants, so that

- U x is made where it is needed and nowhere stored;
- the gradient for the norm's parameters needs only t = U^T g, at a quarter of the size: sum g = sum t and
  sum g (U n) = sum t n, for the normalised n;
- so does the gradient for x: U^T (g - a - b U n) = t - 4 a - b U^T U n, where U^T U is a 3x3 stencil, for an axis
  3/8, 5/4, 3/8 with the edge repeated.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .arguments import check_picture
from .backend import LIBRARY, better_plain, choose, no_autocast
from .definitions import differentiate, plain
from .memory import empty_nhwc
from .norm_act_pad import check_norm
from .reflect_pad import fill_border, fold_in_torch, interior
from .upsample_norm_pad_kernels import launch_backward, launch_forward

__all__ = ["upsample_norm_pad"]


def upsample_norm_pad(
    skip: Tensor,
    deep: Tensor,
    weight: Tensor,
    bias: Tensor,
    pad: int,
    eps: float = 1e-5,
    impl: str | None = None,
) -> Tensor:
    """Return pad(batch_norm(cat([skip, upsample(deep)]))): what `definition` does in separate steps.

    The upsampling is bilinear, by two (half-pixel centres, edges repeated); batch norm and padding are those of
    `norm_act_pad`, as is what is said there of precision, order and gradients.

    Args:
        skip: (N, S, 2 H, 2 W), float16, bfloat16, float32 or float64, of any strides; fastest in NHWC memory.
        deep: (N, D, H, W), like `skip`.
        weight: (S + D,), float32 (float64 for float64): the scale after normalising.
        bias: (S + D,), like `weight`.
        pad: pixels reflected on every side, less than each of them.
        eps: added to the variance.
        impl: auto (None), triton or torch. float64 always runs in torch.

    Returns:
        (N, S + D, 2 H + 2 pad, 2 W + 2 pad) in NHWC memory, of the dtype of `skip`.

    Raises:
        TypeError, ValueError: an argument that cannot be used, named in the message.
    """
    check_picture("skip", skip)
    check_picture("deep", deep)
    if deep.dtype != skip.dtype or deep.device != skip.device:
        raise TypeError(f"deep is {deep.dtype} on {deep.device}, skip is {skip.dtype} on {skip.device}; use one")
    if (*skip.shape[:1], *skip.shape[2:]) != (deep.shape[0], 2 * deep.shape[2], 2 * deep.shape[3]):
        raise ValueError(f"deep must be half as large as skip, {tuple(skip.shape)}, not {tuple(deep.shape)}")
    check_norm(skip, skip.shape[1] + deep.shape[1], weight, bias, pad, eps)
    chosen = choose(skip, impl)
    if better_plain(deep, chosen):
        return plain(definition, skip, deep, weight, bias, pad=pad, eps=eps)
    result: Tensor = _UpsampleNormPad.apply(skip, deep, weight, bias, pad, eps, chosen)
    return result


def definition(skip: Tensor, deep: Tensor, weight: Tensor, bias: Tensor, pad: int, eps: float = 1e-5) -> Tensor:
    """`upsample_norm_pad` by torch's own functions, one after the other."""
    both = torch.cat([skip, F.interpolate(deep, scale_factor=2, mode="bilinear")], 1)
    normal = F.batch_norm(both, None, None, weight, bias, training=True, eps=eps)
    return F.pad(normal, (pad,) * 4, mode="reflect")


class _UpsampleNormPad(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, skip: Tensor, deep: Tensor, weight: Tensor, bias: Tensor, pad: int, eps: float, impl: str
    ) -> Tensor:
        y, mean, rstd = torch.ops.fastsr.upsample_norm_pad(skip, deep, weight, bias, pad, eps, impl)
        ctx.save_for_backward(skip, deep, weight, bias, mean, rstd)
        ctx.arguments = pad, eps, impl
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        skip, deep, weight, bias, mean, rstd = ctx.saved_tensors
        pad, eps, impl = ctx.arguments
        if torch.is_grad_enabled():  # gradients of gradients are asked for
            define = partial(definition, pad=pad, eps=eps)
            found = differentiate(define, (skip, deep, weight, bias), gradients[0], ctx.needs_input_grad)
            return *found, None, None, None
        found = torch.ops.fastsr.upsample_norm_pad_backward(
            gradients[0], skip, deep, weight, bias, mean, rstd, pad, impl
        )
        return *found, None, None, None


# The operators

LIBRARY.define(
    "upsample_norm_pad(Tensor skip, Tensor deep, Tensor weight, Tensor bias, SymInt pad, float eps, str impl)"
    " -> (Tensor, Tensor, Tensor)"
)
LIBRARY.define(
    "upsample_norm_pad_backward(Tensor g, Tensor skip, Tensor deep, Tensor weight, Tensor bias, Tensor mean,"
    " Tensor rstd, SymInt pad, str impl) -> (Tensor, Tensor, Tensor, Tensor)"
)


@torch.library.register_fake("fastsr::upsample_norm_pad", lib=LIBRARY)
def _fake(
    skip: Tensor, deep: Tensor, weight: Tensor, bias: Tensor, pad: int, eps: float, impl: str
) -> tuple[Tensor, Tensor, Tensor]:
    return _empty_result(skip, deep, pad), torch.empty_like(weight), torch.empty_like(weight)


@torch.library.register_fake("fastsr::upsample_norm_pad_backward", lib=LIBRARY)
def _fake_backward(
    g: Tensor, skip: Tensor, deep: Tensor, weight: Tensor, bias: Tensor, *arguments: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        empty_nhwc(skip, *skip.shape),
        empty_nhwc(deep, *deep.shape),
        torch.empty_like(weight),
        torch.empty_like(bias),
    )


def _empty_result(skip: Tensor, deep: Tensor, pad: int) -> Tensor:
    channels = skip.shape[1] + deep.shape[1]
    return empty_nhwc(skip, skip.shape[0], channels, skip.shape[2] + 2 * pad, skip.shape[3] + 2 * pad)


@torch.library.impl("fastsr::upsample_norm_pad", "CompositeExplicitAutograd", lib=LIBRARY)
def _run(
    skip: Tensor, deep: Tensor, weight: Tensor, bias: Tensor, pad: int, eps: float, impl: str
) -> tuple[Tensor, Tensor, Tensor]:
    weight, bias = weight.contiguous(), bias.contiguous()
    run = launch_forward if impl == "triton" else _run_in_torch
    return run(skip, deep, weight, bias, _empty_result(skip, deep, pad), pad, eps)


@torch.library.impl("fastsr::upsample_norm_pad_backward", "CompositeExplicitAutograd", lib=LIBRARY)
def _run_backward(
    g: Tensor,
    skip: Tensor,
    deep: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    rstd: Tensor,
    pad: int,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    weight, bias = weight.contiguous(), bias.contiguous()
    run = launch_backward if impl == "triton" else _run_backward_in_torch
    return run(g, skip, deep, weight, bias, mean, rstd, pad)


# The torch implementation


def _run_in_torch(
    skip: Tensor, deep: Tensor, weight: Tensor, bias: Tensor, y: Tensor, pad: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    beside = skip.shape[1]
    up = F.interpolate(deep.contiguous(memory_format=torch.channels_last), scale_factor=2, mode="bilinear")
    parts = (skip.contiguous(memory_format=torch.channels_last), slice(beside)), (up, slice(beside, None))
    found = []
    for x, channels in parts:
        normal, *moments = torch.native_batch_norm(x, weight[channels], bias[channels], None, None, True, 0.0, eps)
        interior(y, pad, pad)[:, channels] = normal
        found.append(moments)
    fill_border(y, pad, pad)
    mean, rstd = (torch.cat(pair) for pair in zip(*found, strict=True))
    return y, mean, rstd


def _run_backward_in_torch(
    g: Tensor, skip: Tensor, deep: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, pad: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    beside = skip.shape[1]
    t = _adjoint(fold_in_torch(g[:, beside:], pad, pad))
    parts = (fold_in_torch(g[:, :beside], pad, pad), skip, slice(beside)), (t, deep, slice(beside, None))
    found = []
    for gradient, x, channels in parts:
        vectors = weight[channels], None, None, mean[channels], rstd[channels]
        x = x.contiguous(memory_format=torch.channels_last)
        found.append(torch.ops.aten.native_batch_norm_backward(gradient, x, *vectors, True, 0.0, [True, True, True]))
    (dskip, *skip_sums), (ddeep, *deep_sums) = found
    # torch subtracts mean(t n) n where (U^T U n) / 4 stands for n, with means over the pixels of `deep`.
    factor = weight[beside:] * rstd[beside:] ** 2 * deep_sums[0] * (t.shape[1] / t.numel())
    difference = deep.to(factor.dtype)
    difference = difference - _smooth(difference)
    ddeep = ddeep.add_(difference.mul_(factor[:, None, None]))
    dweight, dbias = (torch.cat(pair) for pair in zip(skip_sums, deep_sums, strict=True))
    return dskip, ddeep, dweight, dbias


def _adjoint(g: Tensor) -> Tensor:
    """U^T g, the adjoint of bilinear upsampling by two."""
    shape = g.shape[0], g.shape[1], g.shape[2] // 2, g.shape[3] // 2
    t: Tensor = torch.ops.aten.upsample_bilinear2d_backward(g, g.shape[2:], shape, False, 2.0, 2.0)
    return t


def _smooth(x: Tensor) -> Tensor:
    """U^T U x / 4."""
    axis = x.new_full((3,), 0.1875)  # not `torch.tensor`: a copy from the host cannot be captured in a graph
    axis[1] = 0.625
    kernel = axis.outer(axis).expand(x.shape[1], 1, 3, 3)
    with no_autocast(x.device):
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1])
