"""The kernels of `style_epilogue`.

A program takes whole planes, those of some channels of an image, or blocks of pixels of larger planes. Programs that
sum store their parts (programs, 2, planes), a plane being a channel of an image.
"""

from __future__ import annotations

from .backend import jit, tl
from .channel_statistics import merge, store_parts, store_sums
from .tiles import load_pixels, part_tile, program_part, program_tile, store_pixels

# Functions of a tile of pixels and channels


@jit
def load_blurred(
    x: tl.tensor,
    image: tl.tensor,
    pixel: tl.tensor,
    channel: tl.tensor,
    mask: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    strides: tl.tuple,
) -> tl.tensor:
    """Return a tile of a image, its rows and columns convolved with [1, 2, 1] / 4; beyond the edges are zeros."""
    column = pixel % width
    result = load_pixels(x, image, pixel, channel, mask, strides) * 0.25
    for down in tl.static_range(-1, 2):
        for right in tl.static_range(-1, 2):
            if down * down + right * right > 0:
                near = pixel + down * width + right
                inside = (near >= 0) & (near < pixels) & (column + right >= 0) & (column + right < width)
                value = load_pixels(x, image, near, channel, mask & inside[:, None], strides)
                result += value * ((2 - down * down) * (2 - right * right) / 16)
    return result


@jit
def load_noisy(
    x: tl.tensor,
    bias: tl.tensor,
    noise: tl.tuple,
    image: tl.tensor,
    pixel: tl.tensor,
    channel: tl.tensor,
    here: tl.tensor,
    mask: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    strides: tl.tuple,
    BLUR: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """Return what the activation takes, for a tile, and the noise of its pixels."""
    if BLUR:
        value = load_blurred(x, image, pixel, channel, mask, pixels, width, strides)
    else:
        value = load_pixels(x, image, pixel, channel, mask, strides)
    value += tl.load(bias + channel, mask=here, other=0).to(tl.float32)[None, :]
    drawn = tl.zeros_like(pixel).to(tl.float32)
    if noise is not None:
        numbers, weight, stride = noise
        drawn = tl.load(numbers + image * stride + pixel, mask=pixel < pixels, other=0).to(tl.float32)
        value += drawn[:, None] * tl.load(weight + channel, mask=here, other=0).to(tl.float32)[None, :]
    return value, drawn


@jit
def activate(value: tl.tensor, slope: tl.tensor) -> tl.tensor:
    """LeakyReLU."""
    return tl.where(value > 0, value, value * slope)


@jit
def load_style(
    style: tl.tensor, image: tl.tensor, channel: tl.tensor, channels: tl.tensor, here: tl.tensor
) -> tuple[tl.tensor, tl.tensor]:
    """Return scale and shift of some channels of a image."""
    style += image * 2 * channels
    scale = tl.load(style + channel, mask=here, other=0).to(tl.float32) + 1
    return scale, tl.load(style + channels + channel, mask=here, other=0).to(tl.float32)


# Kernels that read x once: a program takes whole planes


@jit
def _whole_planes(
    pixels: tl.tensor, channels: tl.tensor, BLOCK_PIXELS: tl.constexpr, BLOCK_CHANNELS: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Return image, pixel, channel, here and mask, as `program_tile`, of a program that takes whole planes."""
    channel = tl.program_id(0) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    here = channel < channels
    pixel = tl.arange(0, BLOCK_PIXELS)
    return tl.program_id(1).to(tl.int64), pixel, channel, here, (pixel < pixels)[:, None] & here[None, :]


@jit
def plane_kernel(
    x: tl.tensor,
    y: tl.tensor,
    bias: tl.tensor,
    style: tl.tensor,
    noise: tl.tuple,
    mean: tl.tensor,
    rstd: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    x_strides: tl.tuple,
    y_strides: tl.tuple,
    slope: tl.tensor,
    eps: tl.tensor,
    BLUR: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write the result, and mean and 1 / sqrt(variance + eps) of each plane."""
    image, pixel, channel, here, mask = _whole_planes(pixels, channels, BLOCK_PIXELS, BLOCK_CHANNELS)
    value, _ = load_noisy(x, bias, noise, image, pixel, channel, here, mask, pixels, width, x_strides, BLUR)
    value = tl.where(mask, activate(value, slope), 0.0)
    middle = tl.sum(value, axis=0) / pixels
    deviation = tl.where(mask, value - middle[None, :], 0.0)
    spread = 1 / tl.sqrt(tl.sum(deviation * deviation, axis=0) / pixels + eps)
    tl.store(mean + image * channels + channel, middle, mask=here)
    tl.store(rstd + image * channels + channel, spread, mask=here)
    scale, shift = load_style(style, image, channel, channels, here)
    value = deviation * (spread * scale)[None, :] + shift[None, :]
    store_pixels(y, value, image, pixel, channel, mask, y_strides)


@jit
def plane_gradient_kernel(
    g: tl.tensor,
    x: tl.tensor,
    dp: tl.tensor,
    bias: tl.tensor,
    style: tl.tensor,
    noise: tl.tuple,
    mean: tl.tensor,
    rstd: tl.tensor,
    product_sum: tl.tensor,
    plain_sum: tl.tensor,
    bias_sum: tl.tensor,
    noise_sum: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    g_strides: tl.tuple,
    x_strides: tl.tuple,
    y_strides: tl.tuple,
    slope: tl.tensor,
    BLUR: tl.constexpr,
    SUMS: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write the gradient before the activation, and the sums that make up those for the style, bias and weights."""
    image, pixel, channel, here, mask = _whole_planes(pixels, channels, BLOCK_PIXELS, BLOCK_CHANNELS)
    plane = image * channels + channel
    value, drawn = load_noisy(x, bias, noise, image, pixel, channel, here, mask, pixels, width, x_strides, BLUR)
    middle, spread = tl.load(mean + plane, mask=here, other=0), tl.load(rstd + plane, mask=here, other=0)
    normal = tl.where(mask, (activate(value, slope) - middle[None, :]) * spread[None, :], 0.0)
    gradient = load_pixels(g, image, pixel, channel, mask, g_strides)
    product, plain = tl.sum(gradient * normal, axis=0), tl.sum(gradient, axis=0)
    tl.store(product_sum + plane, product, mask=here)
    tl.store(plain_sum + plane, plain, mask=here)
    scale, _ = load_style(style, image, channel, channels, here)
    gradient = gradient - (plain / pixels)[None, :] - normal * (product / pixels)[None, :]
    gradient = tl.where(mask, gradient * tl.where(value > 0, 1.0, slope) * (scale * spread)[None, :], 0.0)
    if SUMS:
        tl.store(noise_sum + plane, tl.sum(gradient * drawn[:, None], axis=0), mask=here)
        tl.store(bias_sum + plane, tl.sum(gradient, axis=0), mask=here)
    store_pixels(dp, gradient, image, pixel, channel, mask, y_strides)


# Kernels that take blocks of pixels


@jit
def statistics_kernel(
    x: tl.tensor,
    partial: tl.tensor,
    bias: tl.tensor,
    noise: tl.tuple,
    channels: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    x_strides: tl.tuple,
    slope: tl.tensor,
    pixels_per_program: tl.tensor,
    BLUR: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Find mean and sum of squared deviations over the pixels of this program."""
    image, channel, here, first, end = program_part(pixels, pixels_per_program, channels, BLOCK_CHANNELS)
    count = 0.0
    mean = tl.zeros((BLOCK_CHANNELS,), tl.float32)
    m2 = tl.zeros((BLOCK_CHANNELS,), tl.float32)
    for start in range(first, end, BLOCK_PIXELS):
        pixel, mask = part_tile(start, end, here, BLOCK_PIXELS)
        value, _ = load_noisy(x, bias, noise, image, pixel, channel, here, mask, pixels, width, x_strides, BLUR)
        more = tl.minimum(end - start, BLOCK_PIXELS).to(tl.float32)
        count, mean, m2 = merge(count, mean, m2, activate(value, slope), mask, more)
    planes = tl.num_programs(2).to(tl.int64) * channels
    partial += tl.program_id(0) * 2 * planes + image * channels
    store_parts(partial, mean, m2, channel, here, planes)


@jit
def apply_kernel(
    x: tl.tensor,
    y: tl.tensor,
    bias: tl.tensor,
    style: tl.tensor,
    noise: tl.tuple,
    mean: tl.tensor,
    rstd: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    x_strides: tl.tuple,
    y_strides: tl.tuple,
    slope: tl.tensor,
    BLUR: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write the result, given mean and 1 / sqrt(variance + eps) of each plane."""
    image, pixel, channel, here, mask = program_tile(pixels, channels, BLOCK_PIXELS, BLOCK_CHANNELS)
    plane = image * channels + channel
    value, _ = load_noisy(x, bias, noise, image, pixel, channel, here, mask, pixels, width, x_strides, BLUR)
    middle, spread = tl.load(mean + plane, mask=here, other=0), tl.load(rstd + plane, mask=here, other=0)
    scale, shift = load_style(style, image, channel, channels, here)
    value = (activate(value, slope) - middle[None, :]) * (spread * scale)[None, :] + shift[None, :]
    store_pixels(y, value, image, pixel, channel, mask, y_strides)


@jit
def sums_kernel(
    g: tl.tensor,
    x: tl.tensor,
    partial: tl.tensor,
    bias: tl.tensor,
    noise: tl.tuple,
    mean: tl.tensor,
    rstd: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    g_strides: tl.tuple,
    x_strides: tl.tuple,
    slope: tl.tensor,
    pixels_per_program: tl.tensor,
    BLUR: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Sum the gradient's products with what was normalised, and the gradient, over the pixels of this program."""
    image, channel, here, first, end = program_part(pixels, pixels_per_program, channels, BLOCK_CHANNELS)
    plane = image * channels + channel
    middle, spread = tl.load(mean + plane, mask=here, other=0), tl.load(rstd + plane, mask=here, other=0)
    product = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    plain = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    for start in range(first, end, BLOCK_PIXELS):
        pixel, mask = part_tile(start, end, here, BLOCK_PIXELS)
        value, _ = load_noisy(x, bias, noise, image, pixel, channel, here, mask, pixels, width, x_strides, BLUR)
        gradient = load_pixels(g, image, pixel, channel, mask, g_strides)
        product += gradient * (activate(value, slope) - middle[None, :]) * spread[None, :]
        plain += gradient
    planes = tl.num_programs(2).to(tl.int64) * channels
    partial += tl.program_id(0) * 2 * planes + image * channels
    store_sums(partial, product, plain, channel, here, planes)


@jit
def differentiate_kernel(
    g: tl.tensor,
    x: tl.tensor,
    dp: tl.tensor,
    partial: tl.tensor,
    bias: tl.tensor,
    style: tl.tensor,
    noise: tl.tuple,
    mean: tl.tensor,
    rstd: tl.tensor,
    product_sum: tl.tensor,
    plain_sum: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    g_strides: tl.tuple,
    x_strides: tl.tuple,
    y_strides: tl.tuple,
    slope: tl.tensor,
    pixels_per_program: tl.tensor,
    BLUR: tl.constexpr,
    SUMS: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write the gradient before the activation, and sum it and its products with the noise over these pixels."""
    image, channel, here, first, end = program_part(pixels, pixels_per_program, channels, BLOCK_CHANNELS)
    plane = image * channels + channel
    middle, spread = tl.load(mean + plane, mask=here, other=0), tl.load(rstd + plane, mask=here, other=0)
    linear = tl.load(product_sum + plane, mask=here, other=0) / pixels * spread
    constant = tl.load(plain_sum + plane, mask=here, other=0) / pixels
    scale, _ = load_style(style, image, channel, channels, here)
    scale *= spread
    noisy = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    plain = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    for start in range(first, end, BLOCK_PIXELS):
        pixel, mask = part_tile(start, end, here, BLOCK_PIXELS)
        value, drawn = load_noisy(x, bias, noise, image, pixel, channel, here, mask, pixels, width, x_strides, BLUR)
        gradient = load_pixels(g, image, pixel, channel, mask, g_strides)
        deviation = activate(value, slope) - middle[None, :]
        gradient = gradient - constant[None, :] - deviation * linear[None, :]
        gradient = tl.where(mask, gradient * tl.where(value > 0, 1.0, slope) * scale[None, :], 0.0)
        if SUMS:
            noisy += gradient * drawn[:, None]
            plain += gradient
        store_pixels(dp, gradient, image, pixel, channel, mask, y_strides)
    if SUMS:
        planes = tl.num_programs(2).to(tl.int64) * channels
        partial += tl.program_id(0) * 2 * planes + image * channels
        store_sums(partial, noisy, plain, channel, here, planes)


@jit
def blur_kernel(
    dp: tl.tensor,
    dx: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    y_strides: tl.tuple,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write the gradient before the blur, which is its own adjoint. Both tensors have the same strides."""
    image, pixel, channel, _, mask = program_tile(pixels, channels, BLOCK_PIXELS, BLOCK_CHANNELS)
    value = load_blurred(dp, image, pixel, channel, mask, pixels, width, y_strides)
    store_pixels(dx, value, image, pixel, channel, mask, y_strides)


@jit
def noise_kernel(
    dp: tl.tensor,
    noise_weight: tl.tensor,
    dnoise: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    y_strides: tl.tuple,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Sum the gradient before the activation over the channels, with their weights."""
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)
    result = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    for start in range(0, channels, BLOCK_CHANNELS):
        channel = start + tl.arange(0, BLOCK_CHANNELS)
        here = channel < channels
        mask = (pixel < pixels)[:, None] & here[None, :]
        weight = tl.load(noise_weight + channel, mask=here, other=0).to(tl.float32)
        gradient = load_pixels(dp, image, pixel, channel, mask, y_strides)
        result += gradient * weight[None, :]
    tl.store(dnoise + image * pixels + pixel, tl.sum(result, axis=1), mask=pixel < pixels)
