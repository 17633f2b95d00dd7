"""The kernels of `norm_act_pad`, and their launchers.

Pixels are numbered through the batch; a program takes some of them, and a block of channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .backend import AotCase, device_guard, jit, tl, triton
from .channel_statistics import (
    COMBINED_CHANNELS,
    OPTIONS,
    PROGRAMS,
    WARPS,
    combine,
    combine_kernel,
    merge,
    split,
    store_parts,
    store_sums,
    total,
    total_kernel,
)
from .memory import channels_adjacent, empty_nhwc, strides
from .reflect_pad_kernels import load_folded, reflect_index
from .tiles import address, aligned, nhwc_blocks


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
    store_parts(partial, mean, m2, channel, here, channels)


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
    store_sums(partial, product, plain, channel, channel < channels, channels)


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
        for name, kernel in (("combine", combine_kernel), ("total", total_kernel))
    ]
