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

from .backend import LIBRARY, AotCase, better_plain, choose, device_guard, jit, no_autocast, tl, triton
from .norm_act_pad import (
    OPTIONS,
    WARPS,
    address,
    apply_norm,
    channels_adjacent,
    check_norm,
    check_picture,
    combine,
    differentiate,
    differentiate_norm,
    merge,
    plain,
    split,
    statistics,
    strides,
    total,
)
from .reflect_pad import aligned, empty_nhwc, fill_border, fold_in_torch, interior, nhwc_blocks, reflect_index

__all__ = ["aot_cases", "upsample_norm_pad"]


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
    chosen = "torch" if skip.dtype == torch.float64 else choose(skip, impl)
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
    run = _run_in_triton if impl == "triton" else _run_in_torch
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
    run = _run_backward_in_triton if impl == "triton" else _run_backward_in_torch
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


# The kernels. A program makes some pixels of `deep`, or of the result, and a block of the channels of `deep`.


@jit
def _deep_statistics_kernel(
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
    """Mean and squared deviations of U x, of which each pixel of x makes four."""
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
        more = tl.minimum(end - start, BLOCK_PIXELS).to(tl.float32)
        line = pixel // width
        row, column = line % height, pixel % width
        picture = x + (line // height).to(tl.int64) * stride_n
        for corner in range(4):
            value = _interpolate(
                picture,
                2 * row + corner // 2,
                2 * column + corner % 2,
                channel,
                mask,
                height,
                width,
                stride_h,
                stride_w,
            )
            count, mean, m2 = merge(count, mean, m2, value, mask, more)
    partial += tl.program_id(0) * 2 * channels
    tl.store(partial + channel, mean, mask=here)
    tl.store(partial + channels + channel, m2, mask=here)


@jit
def _interpolate(
    picture: tl.tensor,
    row: tl.tensor,
    column: tl.tensor,
    channel: tl.tensor,
    mask: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
) -> tl.tensor:
    """Return (U x)[row, column] in float32, for the picture x of height x width."""
    # An even sample has 3/4 of the one below it and 1/4 of the one before; an odd one 1/4 of the one behind.
    near_h, far_h = row // 2, tl.minimum(tl.maximum(row // 2 + row % 2 * 2 - 1, 0), height - 1)
    near_w, far_w = column // 2, tl.minimum(tl.maximum(column // 2 + column % 2 * 2 - 1, 0), width - 1)
    top, bottom = near_h.to(tl.int64) * stride_h, far_h.to(tl.int64) * stride_h
    left, right = near_w.to(tl.int64) * stride_w, far_w.to(tl.int64) * stride_w
    value = 0.5625 * _pixel(picture + top + left, channel, mask)
    value += 0.1875 * _pixel(picture + top + right, channel, mask)
    value += 0.1875 * _pixel(picture + bottom + left, channel, mask)
    return value + 0.0625 * _pixel(picture + bottom + right, channel, mask)


@jit
def _pixel(at: tl.tensor, channel: tl.tensor, mask: tl.tensor) -> tl.tensor:
    return tl.load(at[:, None] + channel[None, :], mask=mask, other=0).to(tl.float32)


@jit
def _deep_apply_kernel(
    x: tl.tensor,
    y: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    mean: tl.tensor,
    rstd: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
    first_channel: tl.tensor,
    out_channels: tl.tensor,
    pixels: tl.tensor,
    PAD: tl.constexpr,
    ALIGN: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write all pixels of the result, the border's too, in the `channels` from `first_channel` on."""
    channels, stride_n, out_channels = aligned(channels, ALIGN), aligned(stride_n, ALIGN), aligned(out_channels, ALIGN)
    stride_h, stride_w = aligned(stride_h, ALIGN), aligned(stride_w, ALIGN)
    first_channel = aligned(first_channel, ALIGN)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    here = channel < channels
    pixel = tl.program_id(0) * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)
    mask = (pixel < pixels)[:, None] & here[None, :]
    padded_h, padded_w = 2 * height + 2 * PAD, 2 * width + 2 * PAD
    line = pixel // padded_w
    row = reflect_index(line % padded_h - PAD, 2 * height)
    column = reflect_index(pixel % padded_w - PAD, 2 * width)
    picture = x + (line // padded_h).to(tl.int64) * stride_n
    value = _interpolate(picture, row, column, channel, mask, height, width, stride_h, stride_w)
    scale = tl.load(rstd + channel, mask=here) * tl.load(weight + channel, mask=here)
    center, shift = tl.load(mean + channel, mask=here), tl.load(bias + channel, mask=here)
    value = (value - center[None, :]) * scale[None, :] + shift[None, :]
    at = pixel.to(tl.int64)[:, None] * out_channels + (first_channel + channel)[None, :]
    tl.store(y + at, value.to(y.dtype.element_ty), mask=mask)


@jit
def _adjoint_kernel(
    g: tl.tensor,
    x: tl.tensor,
    mean: tl.tensor,
    rstd: tl.tensor,
    t: tl.tensor,
    partial: tl.tensor,
    first_channel: tl.tensor,
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
    """Write t = U^T fold(g), and the sums of t and of its products with the normalised x over this program's pixels."""
    channels, g_stride_n, stride_n = aligned(channels, ALIGN), aligned(g_stride_n, ALIGN), aligned(stride_n, ALIGN)
    g_stride_h, g_stride_w = aligned(g_stride_h, ALIGN), aligned(g_stride_w, ALIGN)
    stride_h, stride_w = aligned(stride_h, ALIGN), aligned(stride_w, ALIGN)
    first_channel = aligned(first_channel, ALIGN)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    here = channel < channels
    center, spread = tl.load(mean + channel, mask=here, other=0), tl.load(rstd + channel, mask=here, other=0)
    first = tl.program_id(0) * pixels_per_program
    end = tl.minimum(first + pixels_per_program, pixels)
    plain = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    product = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    for start in range(first, end, BLOCK_PIXELS):
        pixel = start + tl.arange(0, BLOCK_PIXELS)
        mask = (pixel < end)[:, None] & here[None, :]
        line = pixel // width
        row, column = line % height, pixel % width
        picture = g + (line // height).to(tl.int64) * g_stride_n
        # A border of g adds to what lies within PAD pixels of the edge: to the outermost pixels of x, the first
        # (PAD + 2) // 2 of them. Only programs that have such pixels look there.
        images_h = 1 + 2 * tl.max(_near_edge(row, height, PAD)).to(tl.int32)
        images_w = 1 + 2 * tl.max(_near_edge(column, width, PAD)).to(tl.int32)
        total = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
        # Only the taps of a row are unrolled: sixteen loads at once would cost the registers of half the programs.
        for line_of_taps in range(4 * images_h * images_w):
            tap_h, image = line_of_taps % 4, line_of_taps // 4
            at_h, weight_h = _source(row, tap_h, image // images_w, 2 * height, PAD)
            for tap_w in tl.static_range(4):
                at_w, weight_w = _source(column, tap_w, image % images_w, 2 * width, PAD)
                factor = weight_h * weight_w
                at = picture + at_h.to(tl.int64) * g_stride_h + at_w.to(tl.int64) * g_stride_w
                total += factor[:, None] * _pixel(at, first_channel + channel, mask & (factor > 0)[:, None])
        offset = address(pixel, height, width, stride_n, stride_h, stride_w)
        value = tl.load(x + offset[:, None] + channel[None, :], mask=mask, other=0).to(tl.float32)
        tl.store(t + pixel.to(tl.int64)[:, None] * channels + channel[None, :], total.to(t.dtype.element_ty), mask=mask)
        plain += total
        product += total * ((value - center[None, :]) * spread[None, :])
    partial += tl.program_id(0) * 2 * channels
    tl.store(partial + channel, tl.sum(product, axis=0), mask=here)
    tl.store(partial + channels + channel, tl.sum(plain, axis=0), mask=here)


@jit
def _near_edge(i: tl.tensor, size: tl.tensor, PAD: tl.constexpr) -> tl.tensor:
    return ((2 * i - 1 <= PAD) | (2 * i + 2 >= 2 * size - 1 - PAD)).to(tl.int32) * (PAD > 0)


@jit
def _source(
    i: tl.tensor, tap: tl.tensor, image: tl.tensor, size: tl.tensor, PAD: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:
    """Return where a padded axis holds the sample `tap` of the four that U makes of sample `i`, and its weight.

    The axis has `size` samples without its border. Image 0 is the sample itself; 1 and 2 are its mirror images before
    and behind, of weight zero where there are none. Beyond the edge U repeats it: so do the samples here.
    """
    sample = tl.minimum(tl.maximum(2 * i - 1 + tap, 0), size - 1)
    place = tl.where(image == 0, sample, tl.where(image == 1, -sample, 2 * (size - 1) - sample))
    outside = ((place < 0) & (place >= -PAD)) | ((place >= size) & (place < size + PAD))
    held = tl.where(image == 0, place >= 0, outside)
    weight = tl.where((tap == 1) | (tap == 2), 0.75, 0.25)
    return place + PAD, tl.where(held, weight, 0.0)


@jit
def _deep_gradient_kernel(
    t: tl.tensor,
    x: tl.tensor,
    weight: tl.tensor,
    mean: tl.tensor,
    rstd: tl.tensor,
    dweight: tl.tensor,
    dbias: tl.tensor,
    dx: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
    pixels: tl.tensor,
    ALIGN: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """dx = weight rstd (t - mean(t) - (U^T U normal) mean(t normal) / 4), the means over all pixels of `deep`."""
    channels, stride_n = aligned(channels, ALIGN), aligned(stride_n, ALIGN)
    stride_h, stride_w = aligned(stride_h, ALIGN), aligned(stride_w, ALIGN)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    here = channel < channels
    pixel = tl.program_id(0) * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)
    mask = (pixel < pixels)[:, None] & here[None, :]
    line = pixel // width
    row, column = line % height, pixel % width
    picture = x + (line // height).to(tl.int64) * stride_n
    stencil = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    for tap_h in tl.static_range(3):
        at_h = tl.minimum(tl.maximum(row + tap_h - 1, 0), height - 1).to(tl.int64) * stride_h
        for tap_w in tl.static_range(3):
            at_w = tl.minimum(tl.maximum(column + tap_w - 1, 0), width - 1).to(tl.int64) * stride_w
            factor = (1.25 if tap_h == 1 else 0.375) * (1.25 if tap_w == 1 else 0.375)
            stencil += factor * _pixel(picture + at_h + at_w, channel, mask)
    center, spread = tl.load(mean + channel, mask=here, other=0), tl.load(rstd + channel, mask=here, other=0)
    normal = (stencil - 4 * center[None, :]) * spread[None, :]  # the stencil's weights add up to 4
    at = pixel.to(tl.int64)[:, None] * channels + channel[None, :]
    gradient = tl.load(t + at, mask=mask, other=0).to(tl.float32)
    product = tl.load(dweight + channel, mask=here, other=0) / pixels
    plain = tl.load(dbias + channel, mask=here, other=0) / pixels
    scale = tl.load(weight + channel, mask=here, other=0) * spread
    value = scale[None, :] * (gradient - plain[None, :] - normal * (0.25 * product)[None, :])
    tl.store(dx + at, value.to(dx.dtype.element_ty), mask=mask)


# The launchers


def _run_in_triton(
    skip: Tensor, deep: Tensor, weight: Tensor, bias: Tensor, y: Tensor, pad: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    beside = skip.shape[1]
    mean, rstd = (torch.cat(pair) for pair in zip(statistics(skip, eps), _deep_statistics(deep, eps), strict=True))
    apply_norm(skip, y[:, :beside], weight[:beside], bias[:beside], mean[:beside], rstd[:beside], 1.0, pad)
    deep = channels_adjacent(deep)
    pixels = y.shape[0] * y.shape[2] * y.shape[3]
    # All of y, not the view of its last channels: memory is loaded and stored several numbers at a time only if the
    # kernel knows how its address is aligned.
    blocks = nhwc_blocks(deep.shape[1], deep.stride(), y.stride(), (beside,) * 4)
    grid = triton.cdiv(pixels, blocks["BLOCK_PIXELS"]), triton.cdiv(deep.shape[1], blocks["BLOCK_CHANNELS"])
    with device_guard(deep):
        _deep_apply_kernel[grid](
            deep,
            y,
            *(vector[beside:] for vector in (weight, bias, mean, rstd)),
            *deep.shape[1:],
            *strides(deep),
            beside,
            y.stride(3),
            pixels,
            PAD=pad,
            **blocks,
            **OPTIONS,
        )
    return y, mean, rstd


def _deep_statistics(deep: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    deep = channels_adjacent(deep)
    channels = deep.shape[1]
    pixels = deep.shape[0] * deep.shape[2] * deep.shape[3]
    blocks = nhwc_blocks(channels, deep.stride())
    programs, per_program = split(pixels, blocks["BLOCK_PIXELS"])
    partial = deep.new_empty(programs, 2, channels, dtype=torch.float32)
    with device_guard(deep):
        _deep_statistics_kernel[programs, triton.cdiv(channels, blocks["BLOCK_CHANNELS"])](
            deep, partial, *deep.shape[1:], *strides(deep), pixels, per_program, **blocks, **OPTIONS
        )
    return combine(partial, 4 * pixels, 4 * per_program, eps)


def _run_backward_in_triton(
    g: Tensor, skip: Tensor, deep: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, pad: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    beside = skip.shape[1]
    g = channels_adjacent(g)
    dskip, *skip_sums = differentiate_norm(
        g[:, :beside], skip, weight[:beside], bias[:beside], mean[:beside], rstd[:beside], 1.0, pad
    )
    ddeep, *deep_sums = _differentiate_deep(g, beside, deep, weight[beside:], mean[beside:], rstd[beside:], pad)
    dweight, dbias = (torch.cat(pair) for pair in zip(skip_sums, deep_sums, strict=True))
    return dskip, ddeep, dweight, dbias


def _differentiate_deep(
    g: Tensor, beside: int, deep: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor, pad: int
) -> tuple[Tensor, Tensor, Tensor]:
    deep = channels_adjacent(deep)
    channels = deep.shape[1]
    pixels = deep.shape[0] * deep.shape[2] * deep.shape[3]
    blocks = nhwc_blocks(channels, deep.stride(), g.stride(), (beside,) * 4)
    programs, per_program = split(pixels, blocks["BLOCK_PIXELS"])
    channel_blocks = triton.cdiv(channels, blocks["BLOCK_CHANNELS"])
    partial = deep.new_empty(programs, 2, channels, dtype=torch.float32)
    t, dx = empty_nhwc(deep, *deep.shape), empty_nhwc(deep, *deep.shape)
    sizes = beside, *deep.shape[1:], *strides(g), *strides(deep), pixels
    with device_guard(deep):
        _adjoint_kernel[programs, channel_blocks](
            g, deep, mean, rstd, t, partial, *sizes, per_program, PAD=pad, **blocks, **OPTIONS
        )
        dweight, dbias = total(partial)
        _deep_gradient_kernel[triton.cdiv(pixels, blocks["BLOCK_PIXELS"]), channel_blocks](
            t,
            deep,
            weight,
            mean,
            rstd,
            dweight,
            dbias,
            dx,
            *deep.shape[1:],
            *strides(deep),
            pixels,
            **blocks,
            **OPTIONS,
        )
    return dx, dweight, dbias


def aot_cases() -> list[AotCase]:
    """Return what the launchers launch for layers of Deep Image Prior, for ``python -m benchmarks.aot``."""
    vectors = dict.fromkeys(("weight", "bias", "mean", "rstd", "dweight", "dbias", "partial"), "*fp32")
    integers = (
        *("channels", "height", "width", "stride_n", "stride_h", "stride_w", "g_stride_n", "g_stride_h", "g_stride_w"),
        *("first_channel", "out_channels", "pixels", "pixels_per_program"),
    )
    return [
        AotCase(
            name=f"{name}, {channels} channels, {dtype}",
            kernel=kernel,
            signature={
                **dict.fromkeys(("g", "x", "y", "t", "dx"), f"*{dtype}"),
                **vectors,
                **dict.fromkeys(integers, "i32"),
            },
            constants={"PAD": 1} | nhwc_blocks(channels, strides_of_result) if padded else nhwc_blocks(channels),
            num_warps=WARPS,
        )
        for name, kernel, padded in (
            ("statistics", _deep_statistics_kernel, False),
            ("apply", _deep_apply_kernel, True),
            ("adjoint", _adjoint_kernel, True),
            ("gradient", _deep_gradient_kernel, False),
        )
        for channels, dtype in ((128, "bf16"), (32, "bf16"), (128, "fp32"))
        for strides_of_result in [(4, 1, 4, channels + 4)]
    ]
