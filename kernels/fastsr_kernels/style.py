"""What stands behind each convolution of StyleGAN 1's synthesis network, fused, forward and backward.

Karras, Laine, Aila, "A Style-Based Generator Architecture for Generative Adversarial Networks" (arXiv 1812.04948):
blur where the resolution has just doubled, bias, noise, LeakyReLU, instance norm and the style, a scale and a shift of
each channel of each picture.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .arguments import check_beside, check_eps, check_picture, check_slope
from .backend import LIBRARY, choose, no_autocast
from .definitions import differentiate
from .memory import empty_in_order, memory_order
from .style_kernels import launch_backward, launch_forward
from .upsample_blur import blur as blurred
from .upsample_blur import blur_downsample, upsample_blur

__all__ = ["blur_downsample", "style_epilogue", "upsample_blur"]

PLANE = (2, 3)


def style_epilogue(
    x: Tensor,
    noise: Tensor | None,
    noise_weight: Tensor | None,
    bias: Tensor,
    style: Tensor,
    *,
    blur: bool = False,
    slope: float = 0.2,
    eps: float = 1e-5,
    impl: str | None = None,
) -> Tensor:
    """Return the styled instance norm of leaky_relu(blur(x) + bias + noise * noise_weight): see `definition`.

    Statistics and arithmetic are in float32 (float64 for float64). Reductions run in a fixed order, so that a rerun
    gives the same bits. Differentiable any number of times, by backward passes; the first is fused.

    Args:
        x: (N, C, H, W), what a convolution made; float16, bfloat16, float32 or float64, of any strides.
        noise: (N, 1, H, W), or (1, 1, H, W) for every picture; float32 or of the dtype of `x`. None adds nothing.
        noise_weight: (C,), how much of the noise each channel takes, of those dtypes. May be None without noise.
        bias: (C,), of those dtypes.
        style: (N, 2, C), of those dtypes: the scale of each channel less 1, and its shift.
        blur: whether [1, 2, 1] / 4 is convolved with the rows and the columns of `x` first; beyond its edges are zeros.
        slope: of the LeakyReLU below zero, at least 0; 1 leaves the activation out.
        eps: added to the variance.
        impl: auto (None), triton or torch. float64 always runs in torch.

    Returns:
        (N, C, H, W) of the dtype of `x`; channels_last where that is the order of `x`, else contiguous.

    Raises:
        TypeError, ValueError: an argument that cannot be used, named in the message.
    """
    check_picture("x", x)
    _check(x, noise, noise_weight, bias, style, slope, eps)
    if noise is None:
        noise_weight = None
    chosen = choose(x, impl)
    result: Tensor = _StyleEpilogue.apply(x, bias, style, noise, noise_weight, blur, float(slope), float(eps), chosen)
    return result


def definition(
    x: Tensor,
    bias: Tensor,
    style: Tensor,
    noise: Tensor | None = None,
    noise_weight: Tensor | None = None,
    *,
    blur: bool = False,
    slope: float = 0.2,
    eps: float = 1e-5,
) -> Tensor:
    """`style_epilogue` by torch's own functions, one after the other."""
    accurate = _accurate(x)
    p = (blurred(x.to(accurate)) if blur else x.to(accurate)) + bias[:, None, None]
    if noise is not None and noise_weight is not None:
        p = p + noise.to(accurate) * noise_weight[:, None, None]
    a = F.leaky_relu(p, slope)
    deviation = a - a.mean(PLANE, keepdim=True)
    variance = deviation.square().mean(PLANE, keepdim=True)
    scale, shift = style[:, :, :, None, None].unbind(1)
    return (deviation * torch.rsqrt(variance + eps) * (scale + 1) + shift).to(x.dtype)


def _accurate(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _check(
    x: Tensor,
    noise: Tensor | None,
    noise_weight: Tensor | None,
    bias: Tensor,
    style: Tensor,
    slope: float,
    eps: float,
) -> None:
    pictures, channels, *sides = x.shape
    if math.prod(sides) == 1:
        raise ValueError(f"a norm over a single pixel is always zero; x has the shape {tuple(x.shape)}")
    check_slope(slope)
    check_eps(eps)
    if noise is not None and noise_weight is None:
        raise ValueError("noise_weight is None, but there is noise; give the weight of each channel")
    noises = 1 if noise is not None and noise.shape[:1] == (1,) else pictures
    others = (
        ("noise", noise, (noises, 1, *sides)),
        ("noise_weight", noise_weight, (channels,)),
        ("bias", bias, (channels,)),
        ("style", style, (pictures, 2, channels)),
    )
    for name, tensor, shape in others:
        if tensor is not None:
            check_beside(name, tensor, x, shape, (torch.float32, x.dtype))


class _StyleEpilogue(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bias: Tensor,
        style: Tensor,
        noise: Tensor | None,
        noise_weight: Tensor | None,
        *arguments: Any,
    ) -> Tensor:
        inputs = x, bias, style, noise, noise_weight
        y, mean, rstd = torch.ops.fastsr.style_epilogue(*inputs, *arguments)
        ctx.save_for_backward(*inputs, mean, rstd)
        ctx.arguments = arguments
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, mean, rstd = ctx.saved_tensors
        blur, slope, eps, impl = ctx.arguments
        wanted = ctx.needs_input_grad[:5]
        if torch.is_grad_enabled():  # gradients of gradients are asked for
            define = partial(definition, blur=blur, slope=slope, eps=eps)
            present = tuple(each for each in inputs if each is not None)
            found = differentiate(define, present, gradients[0], wanted[: len(present)])
            found += [None] * (5 - len(present))
        else:
            _, bias, _, noise, noise_weight = wanted
            found = torch.ops.fastsr.style_epilogue_backward(
                gradients[0], *inputs, mean, rstd, blur, slope, bias or noise_weight, noise, impl
            )
            found = [gradient if want else None for gradient, want in zip(found, wanted, strict=True)]
        return *found, None, None, None, None


# The operators. Beside the result go mean and 1 / sqrt(variance + eps) of what is normalised, (N, C) in float32
# (float64 for float64). The gradients for bias and noise_weight are empty without `sums`, and that for noise without
# `noise_gradient`; both are where there is no noise.

LIBRARY.define(
    "style_epilogue(Tensor x, Tensor bias, Tensor style, Tensor? noise, Tensor? noise_weight, bool blur, float slope,"
    " float eps, str impl) -> (Tensor, Tensor, Tensor)"
)
LIBRARY.define(
    "style_epilogue_backward(Tensor g, Tensor x, Tensor bias, Tensor style, Tensor? noise, Tensor? noise_weight,"
    " Tensor mean, Tensor rstd, bool blur, float slope, bool sums, bool noise_gradient, str impl)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)


@torch.library.register_fake("fastsr::style_epilogue", lib=LIBRARY)
def _fake(x: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    mean, rstd = (x.new_empty(x.shape[:2], dtype=_accurate(x)) for _ in range(2))
    return empty_in_order(x, *x.shape), mean, rstd


@torch.library.register_fake("fastsr::style_epilogue_backward", lib=LIBRARY)
def _fake_backward(
    g: Tensor,
    x: Tensor,
    bias: Tensor,
    style: Tensor,
    noise: Tensor | None,
    noise_weight: Tensor | None,
    mean: Tensor,
    rstd: Tensor,
    blur: bool,
    slope: float,
    sums: bool,
    noise_gradient: bool,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    dbias = bias.new_empty(bias.shape if sums else (0,))
    dnoise, dweight = bias.new_empty(0), bias.new_empty(0)
    if noise is not None and noise_weight is not None:
        dnoise = noise.new_empty(noise.shape if noise_gradient else (0,))
        dweight = noise_weight.new_empty(noise_weight.shape if sums else (0,))
    return empty_in_order(x, *x.shape), dbias, style.new_empty(style.shape), dnoise, dweight


@torch.library.impl("fastsr::style_epilogue", "CompositeExplicitAutograd", lib=LIBRARY)
def _run(
    x: Tensor,
    bias: Tensor,
    style: Tensor,
    noise: Tensor | None,
    noise_weight: Tensor | None,
    blur: bool,
    slope: float,
    eps: float,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor]:
    if impl == "triton":
        return launch_forward(x, empty_in_order(x, *x.shape), bias, style, noise, noise_weight, blur, slope, eps)
    with no_autocast(x.device):
        a = _activated(x, bias, noise, noise_weight, blur, slope)
    mean = a.mean(PLANE, keepdim=True)
    deviation = a.sub_(mean)
    rstd = deviation.square().mean(PLANE, keepdim=True).add_(eps).rsqrt_()
    scale, shift = style.to(a.dtype)[:, :, :, None, None].unbind(1)
    y = deviation.mul_(rstd * (scale + 1)).add_(shift)
    return y.to(x.dtype).contiguous(memory_format=memory_order(x)), mean[..., 0, 0], rstd[..., 0, 0]


@torch.library.impl("fastsr::style_epilogue_backward", "CompositeExplicitAutograd", lib=LIBRARY)
def _run_backward(
    g: Tensor,
    x: Tensor,
    bias: Tensor,
    style: Tensor,
    noise: Tensor | None,
    noise_weight: Tensor | None,
    mean: Tensor,
    rstd: Tensor,
    blur: bool,
    slope: float,
    sums: bool,
    noise_gradient: bool,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    arguments = bias, style, noise, noise_weight, mean, rstd, blur, slope, sums, noise_gradient
    if impl == "triton":
        dx, scales, shifts, biases, weights, noises = launch_backward(g, x, empty_in_order(x, *x.shape), *arguments)
    else:
        with no_autocast(x.device):
            dx, scales, shifts, biases, weights, noises = _differentiate_in_torch(g, x, *arguments)
        dx = dx.to(x.dtype).contiguous(memory_format=memory_order(x))
    dstyle = torch.stack((scales, shifts), 1).to(style.dtype)
    dbias = _total(biases, bias)
    if noise is None or noise_weight is None:
        return dx, dbias, dstyle, dbias.new_empty(0), dbias.new_empty(0)
    return dx, dbias, dstyle, _total(noises, noise), _total(weights, noise_weight)


def _total(gradient: Tensor | None, like: Tensor) -> Tensor:
    """Return the gradients of all pictures in the form of what they are for, which pictures may share."""
    if gradient is None:
        return like.new_empty(0)
    if like.numel() < gradient.numel() or like.ndim == 1:
        gradient = gradient.sum(0)
    return gradient.view(like.shape).to(like.dtype)


def _activated(
    x: Tensor, bias: Tensor, noise: Tensor | None, noise_weight: Tensor | None, blur: bool, slope: float
) -> Tensor:
    """Return what is normalised, in new memory."""
    dtype = _accurate(x)
    p = (blurred(x.to(dtype)) if blur else x) + bias.to(dtype)[:, None, None]
    if noise is not None and noise_weight is not None:
        p.addcmul_(noise.to(dtype), noise_weight.to(dtype)[:, None, None])
    return F.leaky_relu_(p, slope)


def _differentiate_in_torch(
    g: Tensor,
    x: Tensor,
    bias: Tensor,
    style: Tensor,
    noise: Tensor | None,
    noise_weight: Tensor | None,
    mean: Tensor,
    rstd: Tensor,
    blur: bool,
    slope: float,
    sums: bool,
    noise_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """`launch_backward`, with as little new memory as may be: on a CPU that is what the time goes into."""
    a = _activated(x, bias, noise, noise_weight, blur, slope)
    g, mean, rstd = g.to(a.dtype), mean[:, :, None, None], rstd[:, :, None, None]
    normal = (a - mean).mul_(rstd)
    dp = g * normal
    scales, shifts = dp.sum(PLANE, keepdim=True), g.sum(PLANE, keepdim=True)
    factor = rstd * (style.to(a.dtype)[:, 0, :, None, None] + 1)
    pixels = x.shape[2] * x.shape[3]
    torch.mul(normal, factor * scales / -pixels, out=dp).addcmul_(g, factor).sub_(factor * shifts / pixels)
    torch.ops.aten.leaky_relu_backward.grad_input(dp, a, slope, True, grad_input=dp)
    planes = dp.flatten(2)
    biases = planes.sum(2) if sums else None
    weights = noises = None
    if noise is not None and noise_weight is not None:
        if sums:
            weights = (planes @ noise.to(a.dtype).flatten(2).mT)[..., 0]
        if noise_gradient:
            noises = noise_weight.to(a.dtype) @ planes
    dx = blurred(dp) if blur else dp
    return dx, scales[..., 0, 0], shifts[..., 0, 0], biases, weights, noises
