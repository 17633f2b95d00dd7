"""Kernels of `style_epilogue` that read x once: a program takes whole planes, those of some channels of a picture."""

from __future__ import annotations

from .backend import jit, tl
from .style_tile_kernels import activate, load_noisy, load_style
from .tiles import load_pixels, store_pixels


@jit
def plane_kernel(
    x: tl.tensor,
    y: tl.tensor,
    bias: tl.tensor,
    style: tl.tensor,
    noise: tl.tensor,
    noise_weight: tl.tensor,
    mean: tl.tensor,
    rstd: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    noise_stride_n: tl.tensor,
    x_stride_n: tl.tensor,
    x_stride_p: tl.tensor,
    x_stride_c: tl.tensor,
    y_stride_n: tl.tensor,
    y_stride_p: tl.tensor,
    y_stride_c: tl.tensor,
    slope: tl.tensor,
    eps: tl.tensor,
    BLUR: tl.constexpr,
    NOISE: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write the result, and mean and 1 / sqrt(variance + eps) of each plane."""
    picture = tl.program_id(1).to(tl.int64)
    channel = tl.program_id(0) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    here = channel < channels
    pixel = tl.arange(0, BLOCK_PIXELS)
    mask = (pixel < pixels)[:, None] & here[None, :]
    value, _ = load_noisy(
        x,
        bias,
        noise,
        noise_weight,
        picture,
        pixel,
        channel,
        here,
        mask,
        pixels,
        width,
        noise_stride_n,
        x_stride_n,
        x_stride_p,
        x_stride_c,
        BLUR,
        NOISE,
    )
    value = tl.where(mask, activate(value, slope), 0.0)
    middle = tl.sum(value, axis=0) / pixels
    deviation = tl.where(mask, value - middle[None, :], 0.0)
    spread = 1 / tl.sqrt(tl.sum(deviation * deviation, axis=0) / pixels + eps)
    tl.store(mean + picture * channels + channel, middle, mask=here)
    tl.store(rstd + picture * channels + channel, spread, mask=here)
    scale, shift = load_style(style, picture, channel, channels, here)
    value = deviation * (spread * scale)[None, :] + shift[None, :]
    store_pixels(y, value, picture, pixel, channel, mask, y_stride_n, y_stride_p, y_stride_c)


@jit
def plane_gradient_kernel(
    g: tl.tensor,
    x: tl.tensor,
    dp: tl.tensor,
    bias: tl.tensor,
    style: tl.tensor,
    noise: tl.tensor,
    noise_weight: tl.tensor,
    mean: tl.tensor,
    rstd: tl.tensor,
    product_sum: tl.tensor,
    plain_sum: tl.tensor,
    bias_sum: tl.tensor,
    noise_sum: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    noise_stride_n: tl.tensor,
    g_stride_n: tl.tensor,
    g_stride_p: tl.tensor,
    g_stride_c: tl.tensor,
    x_stride_n: tl.tensor,
    x_stride_p: tl.tensor,
    x_stride_c: tl.tensor,
    y_stride_n: tl.tensor,
    y_stride_p: tl.tensor,
    y_stride_c: tl.tensor,
    slope: tl.tensor,
    BLUR: tl.constexpr,
    NOISE: tl.constexpr,
    SUMS: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write the gradient before the activation, and the sums that make up those for the style, bias and weights."""
    picture = tl.program_id(1).to(tl.int64)
    channel = tl.program_id(0) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    here = channel < channels
    plane = picture * channels + channel
    pixel = tl.arange(0, BLOCK_PIXELS)
    mask = (pixel < pixels)[:, None] & here[None, :]
    value, drawn = load_noisy(
        x,
        bias,
        noise,
        noise_weight,
        picture,
        pixel,
        channel,
        here,
        mask,
        pixels,
        width,
        noise_stride_n,
        x_stride_n,
        x_stride_p,
        x_stride_c,
        BLUR,
        NOISE,
    )
    middle, spread = tl.load(mean + plane, mask=here, other=0), tl.load(rstd + plane, mask=here, other=0)
    normal = tl.where(mask, (activate(value, slope) - middle[None, :]) * spread[None, :], 0.0)
    gradient = load_pixels(g, picture, pixel, channel, mask, g_stride_n, g_stride_p, g_stride_c)
    product, plain = tl.sum(gradient * normal, axis=0), tl.sum(gradient, axis=0)
    tl.store(product_sum + plane, product, mask=here)
    tl.store(plain_sum + plane, plain, mask=here)
    scale, _ = load_style(style, picture, channel, channels, here)
    gradient = gradient - (plain / pixels)[None, :] - normal * (product / pixels)[None, :]
    gradient = tl.where(mask, gradient * tl.where(value > 0, 1.0, slope) * (scale * spread)[None, :], 0.0)
    if SUMS:
        tl.store(noise_sum + plane, tl.sum(gradient * drawn[:, None], axis=0), mask=here)
        tl.store(bias_sum + plane, tl.sum(gradient, axis=0), mask=here)
    store_pixels(dp, gradient, picture, pixel, channel, mask, y_stride_n, y_stride_p, y_stride_c)
