"""Kernels of `style_epilogue` for larger planes, which a program takes by blocks of pixels, and what both ways share.

Programs that sum store their parts (programs, 2, planes), a plane being a channel of a picture.
"""

from __future__ import annotations

from .backend import jit, tl
from .channel_statistics import merge, store_parts, store_sums
from .style_tile_kernels import activate, load_blurred, load_noisy, load_style
from .tiles import load_pixels, store_pixels


@jit
def statistics_kernel(
    x: tl.tensor,
    partial: tl.tensor,
    bias: tl.tensor,
    noise: tl.tensor,
    noise_weight: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    noise_stride_n: tl.tensor,
    x_stride_n: tl.tensor,
    x_stride_p: tl.tensor,
    x_stride_c: tl.tensor,
    slope: tl.tensor,
    pixels_per_program: tl.tensor,
    BLUR: tl.constexpr,
    NOISE: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Find mean and sum of squared deviations over the pixels of this program."""
    picture = tl.program_id(2).to(tl.int64)
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
        more = tl.minimum(end - start, BLOCK_PIXELS).to(tl.float32)
        count, mean, m2 = merge(count, mean, m2, activate(value, slope), mask, more)
    planes = tl.num_programs(2).to(tl.int64) * channels
    partial += tl.program_id(0) * 2 * planes + picture * channels
    store_parts(partial, mean, m2, channel, here, planes)


@jit
def apply_kernel(
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
    BLUR: tl.constexpr,
    NOISE: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write the result, given mean and 1 / sqrt(variance + eps) of each plane."""
    picture = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    here = channel < channels
    plane = picture * channels + channel
    pixel = tl.program_id(0) * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)
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
    middle, spread = tl.load(mean + plane, mask=here, other=0), tl.load(rstd + plane, mask=here, other=0)
    scale, shift = load_style(style, picture, channel, channels, here)
    value = (activate(value, slope) - middle[None, :]) * (spread * scale)[None, :] + shift[None, :]
    store_pixels(y, value, picture, pixel, channel, mask, y_stride_n, y_stride_p, y_stride_c)


@jit
def sums_kernel(
    g: tl.tensor,
    x: tl.tensor,
    partial: tl.tensor,
    bias: tl.tensor,
    noise: tl.tensor,
    noise_weight: tl.tensor,
    mean: tl.tensor,
    rstd: tl.tensor,
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
    slope: tl.tensor,
    pixels_per_program: tl.tensor,
    BLUR: tl.constexpr,
    NOISE: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Sum the gradient's products with what was normalised, and the gradient, over the pixels of this program."""
    picture = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    here = channel < channels
    plane = picture * channels + channel
    middle, spread = tl.load(mean + plane, mask=here, other=0), tl.load(rstd + plane, mask=here, other=0)
    first = tl.program_id(0) * pixels_per_program
    end = tl.minimum(first + pixels_per_program, pixels)
    product = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    plain = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    for start in range(first, end, BLOCK_PIXELS):
        pixel = start + tl.arange(0, BLOCK_PIXELS)
        mask = (pixel < end)[:, None] & here[None, :]
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
        gradient = load_pixels(g, picture, pixel, channel, mask, g_stride_n, g_stride_p, g_stride_c)
        product += gradient * (activate(value, slope) - middle[None, :]) * spread[None, :]
        plain += gradient
    planes = tl.num_programs(2).to(tl.int64) * channels
    partial += tl.program_id(0) * 2 * planes + picture * channels
    store_sums(partial, product, plain, channel, here, planes)


@jit
def differentiate_kernel(
    g: tl.tensor,
    x: tl.tensor,
    dp: tl.tensor,
    partial: tl.tensor,
    bias: tl.tensor,
    style: tl.tensor,
    noise: tl.tensor,
    noise_weight: tl.tensor,
    mean: tl.tensor,
    rstd: tl.tensor,
    product_sum: tl.tensor,
    plain_sum: tl.tensor,
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
    pixels_per_program: tl.tensor,
    BLUR: tl.constexpr,
    NOISE: tl.constexpr,
    SUMS: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write the gradient before the activation, and sum it and its products with the noise over these pixels."""
    picture = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    here = channel < channels
    plane = picture * channels + channel
    middle, spread = tl.load(mean + plane, mask=here, other=0), tl.load(rstd + plane, mask=here, other=0)
    linear = tl.load(product_sum + plane, mask=here, other=0) / pixels * spread
    constant = tl.load(plain_sum + plane, mask=here, other=0) / pixels
    scale, _ = load_style(style, picture, channel, channels, here)
    scale *= spread
    first = tl.program_id(0) * pixels_per_program
    end = tl.minimum(first + pixels_per_program, pixels)
    noisy = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    plain = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    for start in range(first, end, BLOCK_PIXELS):
        pixel = start + tl.arange(0, BLOCK_PIXELS)
        mask = (pixel < end)[:, None] & here[None, :]
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
        gradient = load_pixels(g, picture, pixel, channel, mask, g_stride_n, g_stride_p, g_stride_c)
        deviation = activate(value, slope) - middle[None, :]
        gradient = gradient - constant[None, :] - deviation * linear[None, :]
        gradient = tl.where(mask, gradient * tl.where(value > 0, 1.0, slope) * scale[None, :], 0.0)
        if SUMS:
            noisy += gradient * drawn[:, None]
            plain += gradient
        store_pixels(dp, gradient, picture, pixel, channel, mask, y_stride_n, y_stride_p, y_stride_c)
    if SUMS:
        planes = tl.num_programs(2).to(tl.int64) * channels
        partial += tl.program_id(0) * 2 * planes + picture * channels
        store_sums(partial, noisy, plain, channel, here, planes)


@jit
def blur_kernel(
    dp: tl.tensor,
    dx: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    y_stride_n: tl.tensor,
    y_stride_p: tl.tensor,
    y_stride_c: tl.tensor,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write the gradient before the blur, which is its own adjoint. Both tensors have the same strides."""
    picture = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    pixel = tl.program_id(0) * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)
    mask = (pixel < pixels)[:, None] & (channel < channels)[None, :]
    value = load_blurred(dp, picture, pixel, channel, mask, pixels, width, y_stride_n, y_stride_p, y_stride_c)
    store_pixels(dx, value, picture, pixel, channel, mask, y_stride_n, y_stride_p, y_stride_c)


@jit
def noise_kernel(
    dp: tl.tensor,
    noise_weight: tl.tensor,
    dnoise: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    y_stride_n: tl.tensor,
    y_stride_p: tl.tensor,
    y_stride_c: tl.tensor,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Sum the gradient before the activation over the channels, with their weights."""
    picture = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)
    result = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    for start in range(0, channels, BLOCK_CHANNELS):
        channel = start + tl.arange(0, BLOCK_CHANNELS)
        here = channel < channels
        mask = (pixel < pixels)[:, None] & here[None, :]
        weight = tl.load(noise_weight + channel, mask=here, other=0).to(tl.float32)
        gradient = load_pixels(dp, picture, pixel, channel, mask, y_stride_n, y_stride_p, y_stride_c)
        result += gradient * weight[None, :]
    tl.store(dnoise + picture * pixels + pixel, tl.sum(result, axis=1), mask=pixel < pixels)
