"""Group norm and Swish, with a shift of each channel of each picture before them, fused, forward and backward.

What stands before each convolution of SR3's U-Net; the shift carries the noise level. Unfused it reads and writes the
picture about five times. Here the statistics read it once, and one more pass reads it and writes the result; where a
group of channels fits into one program, it is read once and for all. The shift is never added to the picture in
memory: the statistics of a group follow from those of its channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .arguments import check_beside, check_eps, check_picture
from .backend import LIBRARY, better_plain, choose, no_autocast
from .definitions import differentiate
from .group_norm_kernels import launch_backward, launch_forward
from .memory import empty_in_order, memory_order

__all__ = ["group_norm"]


def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float = 1e-5,
    *,
    shift: Tensor | None = None,
    swish: bool = True,
    impl: str | None = None,
) -> Tensor:
    """Return silu(group_norm(x + shift)): what `definition` does in separate steps.

    Statistics and arithmetic are in float32 (float64 for float64); the kernels round once, torch on a CPU rounds after
    each step. Reductions run in a fixed order, so that a rerun gives the same bits. Differentiable any number of
    times, by backward passes; the first is fused. On a CPU torch finds the variances of a channels_last picture as
    differences of squares: there a group's mean must not be hundreds of times as large as its deviations.

    Args:
        x: (N, C, H, W), float16, bfloat16, float32 or float64, of any strides; copied where neither its channels nor
            its pixels are next to each other in memory.
        groups: so many groups of adjacent channels; divides C.
        weight: (C,), float32 or of the dtype of `x`: the scale after normalising.
        bias: (C,), like `weight`.
        eps: added to the variance.
        shift: (N, C), of the dtype of `x` or float32: added to each pixel before normalising. None adds nothing.
        swish: whether Swish, h * sigmoid(h), follows the norm.
        impl: auto (None), triton or torch. float64 always runs in torch.

    Returns:
        (N, C, H, W) of the dtype of `x`; channels_last where that is the order of `x`, else contiguous.

    Raises:
        TypeError, ValueError: an argument that cannot be used, named in the message.
    """
    check_picture("x", x)
    _check(x, groups, weight, bias, eps, shift)
    chosen = choose(x, impl)
    if chosen == "torch" and not _slow_gradient(x, groups, weight, bias, shift):
        with no_autocast(x.device):
            y = definition(x, groups, weight, bias, eps, shift=shift, swish=swish)
        return y.contiguous(memory_format=memory_order(x))
    # torch's Swish keeps its input for the backward pass; the kernels make it anew.
    fused = swish and chosen == "triton"
    result: Tensor = _GroupNorm.apply(x, weight, bias, shift, groups, float(eps), fused, chosen)
    return F.silu(result) if swish and not fused else result


def definition(
    x: Tensor,
    groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float = 1e-5,
    *,
    shift: Tensor | None = None,
    swish: bool = True,
) -> Tensor:
    """`group_norm` by torch's own functions, one after the other."""
    weight, bias = _accurate(weight, x), _accurate(bias, x)
    y = F.group_norm(_shifted(x, shift), groups, weight, bias, eps)
    return (F.silu(y) if swish else y).to(x.dtype)


NARROW = 16
"""Bytes of a group's channels up to which, on a CPU, torch's own gradient of a channels_last group norm is slow."""


def _slow_gradient(x: Tensor, groups: int, *others: Tensor | None) -> bool:
    """Whether a gradient is wanted for which batch norm's functions are faster than torch's own."""
    wanted = torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in (x, *others))
    narrow = x.shape[1] // groups * x.itemsize <= NARROW
    in_order = memory_order(x) == torch.channels_last
    return wanted and narrow and in_order and x.device.type == "cpu" and not better_plain(x, "torch")


def _accurate(vector: Tensor, x: Tensor) -> Tensor:
    return vector.to(torch.promote_types(x.dtype, torch.float32))


def _shifted(x: Tensor, shift: Tensor | None) -> Tensor:
    """Return x + shift, as torch's group norm takes it beside accurate parameters: off the CPU of their dtype."""
    if x.device.type != "cpu":
        x = _accurate(x, x)
    return x if shift is None else x + shift.to(x.dtype)[:, :, None, None]


def _check(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, shift: Tensor | None) -> None:
    pictures, channels = x.shape[:2]
    if groups < 1 or channels % groups:
        raise ValueError(f"groups={groups} does not divide the {channels} channels of x")
    if x.numel() == pictures * groups:
        raise ValueError(f"a norm over a single number is always zero; x has the shape {tuple(x.shape)}")
    check_eps(eps)
    vectors = (("weight", weight, (channels,)), ("bias", bias, (channels,)), ("shift", shift, (pictures, channels)))
    for name, vector, shape in vectors:
        if vector is not None:
            check_beside(name, vector, x, shape, (torch.float32, x.dtype))


class _GroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, shift: Tensor | None, *arguments: Any) -> Tensor:
        y, *statistics = torch.ops.fastsr.group_norm(x, weight, bias, shift, *arguments)
        ctx.save_for_backward(x, weight, bias, shift, *statistics)
        ctx.arguments = arguments
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, shift, *statistics = ctx.saved_tensors
        groups, eps, swish, impl = ctx.arguments
        if torch.is_grad_enabled():  # gradients of gradients are asked for

            def define(x: Tensor, weight: Tensor, bias: Tensor, shift: Tensor | None = None) -> Tensor:
                return definition(x, groups, weight, bias, eps, shift=shift, swish=swish)

            inputs = (x, weight, bias) if shift is None else (x, weight, bias, shift)
            found = differentiate(define, inputs, gradients[0], ctx.needs_input_grad)
        else:
            found = torch.ops.fastsr.group_norm_backward(
                gradients[0], x, weight, bias, shift, *statistics, groups, swish, impl
            )
        return *found[:3], None if shift is None else found[3], None, None, None, None


# The operators. Beside the result go (N, C) in float32 (float64 for float64): what is subtracted from each channel,
# mean - shift, and 1 / sqrt(variance + eps); and, by the kernels alone, the mean of each normalised channel. The
# gradient for a shift of None is empty. Swish is the kernels' alone.

LIBRARY.define(
    "group_norm(Tensor x, Tensor weight, Tensor bias, Tensor? shift, SymInt groups, float eps, bool swish, str impl)"
    " -> (Tensor, Tensor, Tensor, Tensor)"
)
LIBRARY.define(
    "group_norm_backward(Tensor g, Tensor x, Tensor weight, Tensor bias, Tensor? shift, Tensor center, Tensor rstd,"
    " Tensor average, SymInt groups, bool swish, str impl) -> (Tensor, Tensor, Tensor, Tensor)"
)


@torch.library.register_fake("fastsr::group_norm", lib=LIBRARY)
def _fake(
    x: Tensor, weight: Tensor, bias: Tensor, shift: Tensor | None, groups: int, eps: float, swish: bool, impl: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dtype = torch.promote_types(x.dtype, torch.float32)
    center, rstd = (x.new_empty(x.shape[:2], dtype=dtype) for _ in range(2))
    average = x.new_empty(x.shape[:2] if impl == "triton" else (0,), dtype=dtype)
    return empty_in_order(x, *x.shape), center, rstd, average


@torch.library.register_fake("fastsr::group_norm_backward", lib=LIBRARY)
def _fake_backward(
    g: Tensor, x: Tensor, weight: Tensor, bias: Tensor, shift: Tensor | None, *arguments: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dshift = x.new_empty(0) if shift is None else shift.new_empty(shift.shape)
    return empty_in_order(x, *x.shape), weight.new_empty(weight.shape), bias.new_empty(bias.shape), dshift


@torch.library.impl("fastsr::group_norm", "CompositeExplicitAutograd", lib=LIBRARY)
def _run(
    x: Tensor, weight: Tensor, bias: Tensor, shift: Tensor | None, groups: int, eps: float, swish: bool, impl: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if impl == "triton":
        vectors = weight.contiguous(), bias.contiguous(), shift
        return launch_forward(x, empty_in_order(x, *x.shape), *vectors, groups, eps, swish)
    assert not swish
    pictures, channels, height, width = x.shape
    weight, bias = _accurate(weight, x).contiguous(), _accurate(bias, x).contiguous()
    taken = _shifted(x, shift).contiguous(memory_format=torch.channels_last)
    y, mean, rstd = torch.native_group_norm(taken, weight, bias, pictures, channels, height * width, groups, eps)
    center, rstd = (each.repeat_interleave(channels // groups, 1) for each in (mean, rstd))
    if shift is not None:
        center -= shift
    return y.contiguous(memory_format=memory_order(x)), center, rstd, center.new_empty(0)


@torch.library.impl("fastsr::group_norm_backward", "CompositeExplicitAutograd", lib=LIBRARY)
def _run_backward(
    g: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    shift: Tensor | None,
    center: Tensor,
    rstd: Tensor,
    average: Tensor,
    groups: int,
    swish: bool,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if impl == "triton":
        vectors = weight.contiguous(), bias.contiguous(), center, rstd, average
        dx, dweight, dbias, sums = launch_backward(g, x, empty_in_order(x, *x.shape), *vectors, groups, swish)
    else:
        assert not swish
        dx, dweight, dbias = _differentiate_in_nhwc(g, x, _accurate(weight, x).contiguous(), center, rstd, groups)
        dx = dx.contiguous(memory_format=memory_order(x))
        sums = dx if shift is None else dx.sum((2, 3))
    dshift = x.new_empty(0) if shift is None else sums.to(shift.dtype)
    return dx, dweight.to(weight.dtype), dbias.to(bias.dtype), dshift


def _differentiate_in_nhwc(
    g: Tensor, x: Tensor, weight: Tensor, center: Tensor, rstd: Tensor, groups: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients for x, weight and bias of the norm alone, by batch norm's functions, a picture at a time."""
    pictures, channels, height, width = x.shape
    g, x = (each.contiguous(memory_format=torch.channels_last) for each in (g, x))
    variance = rstd.square().reciprocal()
    ones = [slice(i, i + 1) for i in range(pictures)]
    found = [
        torch.ops.aten.native_batch_norm_backward(
            g[one], x[one], weight, center[i], variance[i], None, None, False, 0.0, [False, True, True]
        )
        for i, one in enumerate(ones)
    ]
    product, plain = (torch.stack([each[which] for each in found]) for which in (1, 2))
    means = torch.stack([product, plain]).mul_(weight).view(2, pictures, groups, -1).mean(3) / -(height * width)
    factor, term = means.repeat_interleave(channels // groups, 2).mul_(rstd)
    dx = torch.empty_like(x)
    unused = [weight.new_empty(0) for _ in range(2)]
    for i, one in enumerate(ones):
        torch.native_batch_norm(
            x[one], factor[i], term[i], center[i], variance[i], False, 0.0, 0.0, out=(dx[one], *unused)
        )
    dx.addcmul_(g, (weight * rstd).to(g.dtype)[:, :, None, None])
    return dx, product.sum(0), plain.sum(0)
