"""Batch norm with the statistics of the batch, LeakyReLU and reflection padding, fused, forward and backward.

What stands between two convolutions of Deep Image Prior. Unfused it reads and writes the picture about eight times;
here the statistics read it once, and one more pass reads it and writes the padded result, in NHWC memory, which the
next convolution takes as it is. In the backward direction the border's gradient is folded in where it is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .backend import LIBRARY, AotCase, better_plain, choose, device_guard, jit, no_autocast, tl, triton
from .reflect_pad import (
    aligned,
    check_pad,
    empty_nhwc,
    empty_padded,
    fill_border,
    fold_in_torch,
    interior,
    load_folded,
    nhwc_blocks,
    reflect_index,
)

__all__ = ["aot_cases", "norm_act_pad"]

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

PROGRAMS = 512
"""Parts into which a reduction is cut at most: the same on every GPU, so that its sums are rounded alike."""


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
    if not slope >= 0:
        raise ValueError(f"slope={slope} is negative; give 0 (ReLU) or more, 1 for no activation")
    chosen = "torch" if x.dtype == torch.float64 else choose(x, impl)
    if better_plain(x, chosen):
        return plain(definition, x, weight, bias, slope=slope, pad=pad, eps=eps)
    result: Tensor = _NormActPad.apply(x, weight, bias, float(slope), pad, eps, chosen)
    return result


def definition(x: Tensor, weight: Tensor, bias: Tensor, slope: float, pad: int, eps: float = 1e-5) -> Tensor:
    """`norm_act_pad` by torch's own functions, one after the other."""
    normal = F.batch_norm(x, None, None, weight, bias, training=True, eps=eps)
    return F.pad(F.leaky_relu(normal, slope), (pad,) * 4, mode="reflect")


def plain(definition: Callable[..., Tensor], *tensors: Tensor, **numbers: float) -> Tensor:
    """Return what `definition` gives, untouched by autocast and in NHWC memory."""
    with no_autocast(tensors[0].device):
        return definition(*tensors, **numbers).contiguous(memory_format=torch.channels_last)


def check_picture(name: str, x: Tensor) -> None:
    """Raise unless `x` is (N, C, H, W), with pixels and channels, of a dtype that the norms take."""
    if x.dtype not in DTYPES:
        raise TypeError(f"{name} must be float16, bfloat16, float32 or float64, not {x.dtype}")
    if x.ndim != 4 or x.numel() == 0:
        raise ValueError(f"{name} must have the shape (N, C, H, W), none of them 0, not {tuple(x.shape)}")


def check_norm(like: Tensor, channels: int, weight: Tensor, bias: Tensor, pad: int, eps: float) -> None:
    """Raise unless a norm over pictures `like` this one, but of so many `channels`, can have the other arguments."""
    wanted = torch.float64 if like.dtype == torch.float64 else torch.float32
    for name, vector in (("weight", weight), ("bias", bias)):
        if vector.dtype != wanted:
            raise TypeError(f"{name} must be {wanted} for a picture of {like.dtype}, not {vector.dtype}")
        if vector.shape != (channels,) or vector.device != like.device:
            raise ValueError(
                f"{name} must have the shape ({channels},) on {like.device}, "
                f"not {tuple(vector.shape)} on {vector.device}"
            )
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps={eps} is not a variance; it must be finite and at least 0")
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


# The kernels. Pixels are numbered through the batch; a program takes some of them, and a block of channels.


@jit
def address(
    pixel: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
) -> tl.tensor:
    """Return the offset of pixels numbered through a batch of pictures."""
    line = pixel // width
    n, row, column = line // height, line % height, pixel % width
    return n.to(tl.int64) * stride_n + row.to(tl.int64) * stride_h + column.to(tl.int64) * stride_w


@jit
def merge(
    count: tl.tensor, mean: tl.tensor, m2: tl.tensor, value: tl.tensor, mask: tl.tensor, more: tl.tensor
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Add `more` rows of `value` to a running count, mean and sum of squared deviations (Chan, Golub, LeVeque)."""
    new = tl.sum(tl.where(mask, value, 0.0), axis=0) / more
    deviation = tl.where(mask, value - new[None, :], 0.0)
    delta = new - mean
    total = count + more
    return (
        total,
        mean + delta * (more / total),
        m2 + tl.sum(deviation * deviation, axis=0) + delta * delta * (count * more / total),
    )


@jit
def _statistics_kernel(
    x: tl.tensor,
    partial: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
    pixels: tl.tensor,
    pixels_per_program: tl.tensor,
    ALIGN: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    channels, stride_n = aligned(channels, ALIGN), aligned(stride_n, ALIGN)
    stride_h, stride_w = aligned(stride_h, ALIGN), aligned(stride_w, ALIGN)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    here = channel < channels
    first = tl.program_id(0) * pixels_per_program
    end = tl.minimum(first + pixels_per_program, pixels)
    count = 0.0
    mean = tl.zeros((BLOCK_CHANNELS,), tl.float32)
    m2 = tl.zeros((BLOCK_CHANNELS,), tl.float32)
    for start in range(first, end, BLOCK_PIXELS):
        pixel = start + tl.arange(0, BLOCK_PIXELS)
        mask = (pixel < end)[:, None] & here[None, :]
        offset = address(pixel, height, width, stride_n, stride_h, stride_w)
        value = tl.load(x + offset[:, None] + channel[None, :], mask=mask, other=0).to(tl.float32)
        count, mean, m2 = merge(count, mean, m2, value, mask, tl.minimum(end - start, BLOCK_PIXELS).to(tl.float32))
    partial += tl.program_id(0) * 2 * channels
    tl.store(partial + channel, mean, mask=here)
    tl.store(partial + channels + channel, m2, mask=here)


@jit
def _combine_kernel(
    partial: tl.tensor,
    mean: tl.tensor,
    rstd: tl.tensor,
    channels: tl.tensor,
    programs: tl.tensor,
    samples: tl.tensor,
    samples_per_program: tl.tensor,
    eps: tl.tensor,
    BLOCK_PROGRAMS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Combine what the programs of a statistics kernel found: the mean first, then the squares about it."""
    channel = tl.program_id(0) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    program = tl.arange(0, BLOCK_PROGRAMS)
    mask = (program < programs)[:, None] & (channel < channels)[None, :]
    at = partial + program[:, None] * 2 * channels + channel[None, :]
    each = tl.load(at, mask=mask, other=0)
    m2 = tl.load(at + channels, mask=mask, other=0)
    left = samples - program * samples_per_program
    count = tl.maximum(tl.minimum(left, samples_per_program), 0).to(tl.float32)[:, None]
    total = tl.sum(count * each, axis=0) / samples
    deviation = tl.where(mask, each - total[None, :], 0.0)
    variance = tl.sum(m2 + count * deviation * deviation, axis=0) / samples
    tl.store(mean + channel, total, mask=channel < channels)
    tl.store(rstd + channel, 1 / tl.sqrt(variance + eps), mask=channel < channels)


@jit
def _apply_kernel(
    x: tl.tensor,
    y: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    mean: tl.tensor,
    rstd: tl.tensor,
    slope: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
    out_channels: tl.tensor,
    pixels: tl.tensor,
    PAD: tl.constexpr,
    ALIGN: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write all pixels, the border's too, of `channels` out of the `out_channels` that the result has."""
    channels, stride_n, out_channels = aligned(channels, ALIGN), aligned(stride_n, ALIGN), aligned(out_channels, ALIGN)
    stride_h, stride_w = aligned(stride_h, ALIGN), aligned(stride_w, ALIGN)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    here = channel < channels
    pixel = tl.program_id(0) * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)
    mask = (pixel < pixels)[:, None] & here[None, :]
    padded_h, padded_w = height + 2 * PAD, width + 2 * PAD
    line = pixel // padded_w
    row = reflect_index(line % padded_h - PAD, height)
    column = reflect_index(pixel % padded_w - PAD, width)
    offset = (line // padded_h).to(tl.int64) * stride_n + row.to(tl.int64) * stride_h + column.to(tl.int64) * stride_w
    value = tl.load(x + offset[:, None] + channel[None, :], mask=mask, other=0).to(tl.float32)
    scale = tl.load(rstd + channel, mask=here) * tl.load(weight + channel, mask=here)
    center, shift = tl.load(mean + channel, mask=here), tl.load(bias + channel, mask=here)
    value = (value - center[None, :]) * scale[None, :] + shift[None, :]
    value = tl.where(value > 0, value, value * slope)
    at = pixel.to(tl.int64)[:, None] * out_channels + channel[None, :]
    tl.store(y + at, value.to(y.dtype.element_ty), mask=mask)


@jit
def _gradient(
    g: tl.tensor,
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    mean: tl.tensor,
    rstd: tl.tensor,
    slope: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    g_stride_n: tl.tensor,
    g_stride_h: tl.tensor,
    g_stride_w: tl.tensor,
    stride_n: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
    pixel: tl.tensor,
    mask: tl.tensor,
    channel: tl.tensor,
    PAD: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """Return the gradient before the activation and the normalised x, for pixels numbered through the batch."""
    here = channel < channels
    line = pixel // width
    n, row, column = (line // height).to(tl.int64), line % height, pixel % width
    offset = n[:, None] * g_stride_n + channel[None, :]
    total = load_folded(g, row[:, None], column[:, None], offset, mask, height, width, g_stride_h, g_stride_w, PAD, PAD)
    at = address(pixel, height, width, stride_n, stride_h, stride_w)
    value = tl.load(x + at[:, None] + channel[None, :], mask=mask, other=0).to(tl.float32)
    center, spread = tl.load(mean + channel, mask=here, other=0), tl.load(rstd + channel, mask=here, other=0)
    normal = tl.where(mask, (value - center[None, :]) * spread[None, :], 0.0)
    scale, shift = tl.load(weight + channel, mask=here, other=0), tl.load(bias + channel, mask=here, other=0)
    positive = normal * scale[None, :] + shift[None, :] > 0
    return tl.where(positive, total, total * slope), normal


@jit
def _sums_kernel(
    g: tl.tensor,
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    mean: tl.tensor,
    rstd: tl.tensor,
    partial: tl.tensor,
    slope: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    g_stride_n: tl.tensor,
    g_stride_h: tl.tensor,
    g_stride_w: tl.tensor,
    stride_n: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
    pixels: tl.tensor,
    pixels_per_program: tl.tensor,
    PAD: tl.constexpr,
    ALIGN: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Sum the gradient, and its products with the normalised x, over the pixels of this program."""
    channels, g_stride_n, stride_n = aligned(channels, ALIGN), aligned(g_stride_n, ALIGN), aligned(stride_n, ALIGN)
    g_stride_h, g_stride_w = aligned(g_stride_h, ALIGN), aligned(g_stride_w, ALIGN)
    stride_h, stride_w = aligned(stride_h, ALIGN), aligned(stride_w, ALIGN)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    first = tl.program_id(0) * pixels_per_program
    end = tl.minimum(first + pixels_per_program, pixels)
    plain = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    product = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    for start in range(first, end, BLOCK_PIXELS):
        pixel = start + tl.arange(0, BLOCK_PIXELS)
        mask = (pixel < end)[:, None] & (channel < channels)[None, :]
        gradient, normal = _gradient(
            g,
            x,
            weight,
            bias,
            mean,
            rstd,
            slope,
            channels,
            height,
            width,
            g_stride_n,
            g_stride_h,
            g_stride_w,
            stride_n,
            stride_h,
            stride_w,
            pixel,
            mask,
            channel,
            PAD,
        )
        plain += gradient
        product += gradient * normal
    partial += tl.program_id(0) * 2 * channels
    tl.store(partial + channel, tl.sum(product, axis=0), mask=channel < channels)
    tl.store(partial + channels + channel, tl.sum(plain, axis=0), mask=channel < channels)


@jit
def _total_kernel(
    partial: tl.tensor,
    product: tl.tensor,
    plain: tl.tensor,
    channels: tl.tensor,
    programs: tl.tensor,
    BLOCK_PROGRAMS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Add up what the programs of a sums kernel found."""
    channel = tl.program_id(0) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    program = tl.arange(0, BLOCK_PROGRAMS)
    mask = (program < programs)[:, None] & (channel < channels)[None, :]
    at = partial + program[:, None] * 2 * channels + channel[None, :]
    tl.store(product + channel, tl.sum(tl.load(at, mask=mask, other=0), axis=0), mask=channel < channels)
    tl.store(plain + channel, tl.sum(tl.load(at + channels, mask=mask, other=0), axis=0), mask=channel < channels)


@jit
def _differentiate_kernel(
    g: tl.tensor,
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    mean: tl.tensor,
    rstd: tl.tensor,
    dweight: tl.tensor,
    dbias: tl.tensor,
    dx: tl.tensor,
    slope: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    g_stride_n: tl.tensor,
    g_stride_h: tl.tensor,
    g_stride_w: tl.tensor,
    stride_n: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
    pixels: tl.tensor,
    PAD: tl.constexpr,
    ALIGN: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """dx = weight rstd (g - mean(g) - normal mean(g normal)), the means over all pixels of the batch."""
    channels, g_stride_n, stride_n = aligned(channels, ALIGN), aligned(g_stride_n, ALIGN), aligned(stride_n, ALIGN)
    g_stride_h, g_stride_w = aligned(g_stride_h, ALIGN), aligned(g_stride_w, ALIGN)
    stride_h, stride_w = aligned(stride_h, ALIGN), aligned(stride_w, ALIGN)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    here = channel < channels
    pixel = tl.program_id(0) * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)
    mask = (pixel < pixels)[:, None] & here[None, :]
    gradient, normal = _gradient(
        g,
        x,
        weight,
        bias,
        mean,
        rstd,
        slope,
        channels,
        height,
        width,
        g_stride_n,
        g_stride_h,
        g_stride_w,
        stride_n,
        stride_h,
        stride_w,
        pixel,
        mask,
        channel,
        PAD,
    )
    product = tl.load(dweight + channel, mask=here) / pixels
    plain = tl.load(dbias + channel, mask=here) / pixels
    scale = tl.load(weight + channel, mask=here) * tl.load(rstd + channel, mask=here)
    value = scale[None, :] * (gradient - plain[None, :] - normal * product[None, :])
    at = pixel.to(tl.int64)[:, None] * channels + channel[None, :]
    tl.store(dx + at, value.to(dx.dtype.element_ty), mask=mask)


# The launchers. They take views of any strides as long as the channels are next to each other.


def statistics(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return mean and 1 / sqrt(variance + eps) of each channel of `x` (N, C, H, W): (C,), float32."""
    x = channels_adjacent(x)
    channels = x.shape[1]
    pixels = x.shape[0] * x.shape[2] * x.shape[3]
    blocks = nhwc_blocks(channels, x.stride())
    programs, per_program = split(pixels, blocks["BLOCK_PIXELS"])
    partial = x.new_empty(programs, 2, channels, dtype=torch.float32)
    with device_guard(x):
        _statistics_kernel[programs, triton.cdiv(channels, blocks["BLOCK_CHANNELS"])](
            x, partial, channels, *x.shape[2:], *strides(x), pixels, per_program, **blocks, **OPTIONS
        )
    return combine(partial, pixels, per_program, eps)


def combine(partial: Tensor, samples: int, samples_per_program: int, eps: float) -> tuple[Tensor, Tensor]:
    """Return mean and 1 / sqrt(variance + eps) from the mean and squares that each program found."""
    programs, _, channels = partial.shape
    mean, rstd = partial.new_empty(channels), partial.new_empty(channels)
    with device_guard(partial):
        _combine_kernel[(triton.cdiv(channels, COMBINED_CHANNELS),)](
            partial,
            mean,
            rstd,
            channels,
            programs,
            samples,
            samples_per_program,
            eps,
            BLOCK_PROGRAMS=triton.next_power_of_2(programs),
            BLOCK_CHANNELS=COMBINED_CHANNELS,
            **OPTIONS,
        )
    return mean, rstd


def apply_norm(
    x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, slope: float, pad: int
) -> None:
    """Write norm, activation and padding of `x` into `y`: NHWC, or some adjacent channels of it."""
    x = channels_adjacent(x)
    pixels = y.shape[0] * y.shape[2] * y.shape[3]
    blocks = nhwc_blocks(x.shape[1], x.stride(), y.stride())
    grid = triton.cdiv(pixels, blocks["BLOCK_PIXELS"]), triton.cdiv(x.shape[1], blocks["BLOCK_CHANNELS"])
    vectors = weight, bias, mean, rstd
    with device_guard(x):
        _apply_kernel[grid](
            x, y, *vectors, slope, *x.shape[1:], *strides(x), y.stride(3), pixels, PAD=pad, **blocks, **OPTIONS
        )


def differentiate_norm(
    g: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, slope: float, pad: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients for x, weight and bias, given `g` (N, C, H + 2 pad, W + 2 pad) for the result."""
    g, x = channels_adjacent(g), channels_adjacent(x)
    channels, height, width = x.shape[1:]
    pixels = x.shape[0] * height * width
    blocks = nhwc_blocks(channels, x.stride(), g.stride())
    programs, per_program = split(pixels, blocks["BLOCK_PIXELS"])
    channel_blocks = triton.cdiv(channels, blocks["BLOCK_CHANNELS"])
    partial = x.new_empty(programs, 2, channels, dtype=torch.float32)
    dx = empty_nhwc(x, *x.shape)
    tensors = g, x, weight, bias, mean, rstd
    sizes = slope, channels, height, width, *strides(g), *strides(x), pixels
    with device_guard(x):
        _sums_kernel[programs, channel_blocks](*tensors, partial, *sizes, per_program, PAD=pad, **blocks, **OPTIONS)
        dweight, dbias = total(partial)
        _differentiate_kernel[triton.cdiv(pixels, blocks["BLOCK_PIXELS"]), channel_blocks](
            *tensors, dweight, dbias, dx, *sizes, PAD=pad, **blocks, **OPTIONS
        )
    return dx, dweight, dbias


def total(partial: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums of products and of gradients from those that each program found."""
    programs, _, channels = partial.shape
    product, plain = partial.new_empty(channels), partial.new_empty(channels)
    with device_guard(partial):
        _total_kernel[(triton.cdiv(channels, COMBINED_CHANNELS),)](
            partial,
            product,
            plain,
            channels,
            programs,
            BLOCK_PROGRAMS=triton.next_power_of_2(programs),
            BLOCK_CHANNELS=COMBINED_CHANNELS,
            **OPTIONS,
        )
    return product, plain


WARPS = 8
OPTIONS = {"num_warps": WARPS, "enable_fp_fusion": True}
COMBINED_CHANNELS = 16


def channels_adjacent(x: Tensor) -> Tensor:
    """Return `x` (N, C, H, W) itself where its channels are next to each other in memory, else an NHWC copy."""
    return x if x.stride(1) == 1 or x.shape[1] == 1 else x.contiguous(memory_format=torch.channels_last)


def strides(x: Tensor) -> tuple[int, int, int]:
    """Return the strides of N, H and W."""
    return x.stride(0), x.stride(2), x.stride(3)


def split(pixels: int, block: int) -> tuple[int, int]:
    """Return into how many programs a reduction over `pixels` is split, and how many pixels each takes."""
    per_program = math.ceil(math.ceil(pixels / block) / PROGRAMS) * block
    return math.ceil(pixels / per_program), per_program


def aot_cases() -> list[AotCase]:
    """Return what the launchers launch for layers of Deep Image Prior, for ``python -m benchmarks.aot``."""
    vectors = {name: "*fp32" for name in ("weight", "bias", "mean", "rstd", "dweight", "dbias", "partial")}
    integers = (
        *("channels", "height", "width", "stride_n", "stride_h", "stride_w", "g_stride_n", "g_stride_h", "g_stride_w"),
        *("out_channels", "pixels", "pixels_per_program"),
    )
    scalars = {**dict.fromkeys(integers, "i32"), "slope": "fp32"}
    cases = [
        AotCase(
            name=f"{name}, {channels} channels, {dtype}",
            kernel=kernel,
            signature={**dict.fromkeys(("g", "x", "y", "dx"), f"*{dtype}"), **vectors, **scalars},
            constants={**({} if name == "statistics" else {"PAD": 1}), **nhwc_blocks(channels)},
            num_warps=WARPS,
            divisible=integers if channels % 16 == 0 else (),
        )
        for name, kernel in (
            ("statistics", _statistics_kernel),
            ("apply", _apply_kernel),
            ("sums", _sums_kernel),
            ("gradient", _differentiate_kernel),
        )
        for channels, dtype in ((128, "bf16"), (32, "bf16"), (4, "bf16"), (128, "fp32"))
    ]
    counts = dict.fromkeys(("channels", "programs", "samples", "samples_per_program"), "i32")
    return cases + [
        AotCase(
            name=f"{name}, 128 channels",
            kernel=kernel,
            signature={**vectors, **counts, "product": "*fp32", "plain": "*fp32", "eps": "fp32"},
            constants={"BLOCK_PROGRAMS": PROGRAMS, "BLOCK_CHANNELS": COMBINED_CHANNELS},
            num_warps=WARPS,
        )
        for name, kernel in (("combine", _combine_kernel), ("total", _total_kernel))
    ]
