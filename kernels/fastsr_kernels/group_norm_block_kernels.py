"""Kernels of `group_norm` that read x twice: blocks of pixels, what they have in common, then blocks of pixels."""

from __future__ import annotations

from .backend import jit, tl
from .channel_statistics import merge, store_parts, store_sums
from .group_norm_tile_kernels import activate, before_swish, gradient_of_group
from .tiles import load_pixels, store_pixels


@jit
def statistics_kernel(
    x: tl.tensor,
    partial: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    x_stride_n: tl.tensor,
    x_stride_p: tl.tensor,
    x_stride_c: tl.tensor,
    pixels_per_program: tl.tensor,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Find mean and sum of squared deviations of each channel over the pixels of this program."""
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
        value = load_pixels(x, picture, pixel, channel, mask, x_stride_n, x_stride_p, x_stride_c)
        count, mean, m2 = merge(count, mean, m2, value, mask, tl.minimum(end - start, BLOCK_PIXELS).to(tl.float32))
    partial += (picture * tl.num_programs(0) + tl.program_id(0)) * 2 * channels
    store_parts(partial, mean, m2, channel, here, channels)


@jit
def combine_kernel(
    partial: tl.tensor,
    shift: tl.tensor,
    center: tl.tensor,
    rstd: tl.tensor,
    average: tl.tensor,
    channels: tl.tensor,
    width: tl.tensor,
    pixels: tl.tensor,
    programs: tl.tensor,
    pixels_per_program: tl.tensor,
    eps: tl.tensor,
    SHIFTED: tl.constexpr,
    BLOCK_PROGRAMS: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
) -> None:
    """Combine the parts of a group, `width` channels: the mean first, then the squares about it."""
    picture = tl.program_id(1).to(tl.int64)
    member = tl.arange(0, BLOCK_WIDTH)
    inside = member < width
    channel = picture * channels + tl.program_id(0) * width + member
    partial += picture * programs * 2 * channels + tl.program_id(0) * width
    moved = tl.zeros((BLOCK_WIDTH,), tl.float32)
    if SHIFTED:
        moved = tl.load(shift + channel, mask=inside, other=0).to(tl.float32)
    total = tl.zeros((BLOCK_WIDTH,), tl.float32)
    for start in range(0, programs, BLOCK_PROGRAMS):
        program = start + tl.arange(0, BLOCK_PROGRAMS)
        mask = (program < programs)[:, None] & inside[None, :]
        count = tl.minimum(pixels - program * pixels_per_program, pixels_per_program).to(tl.float32)
        each = tl.load(partial + program[:, None] * 2 * channels + member[None, :], mask=mask, other=0)
        total += tl.sum(count[:, None] * each, axis=0)
    own = total / pixels
    mean = tl.sum(tl.where(inside, own + moved, 0.0), axis=0) / width
    m2 = tl.zeros((BLOCK_WIDTH,), tl.float32)
    for start in range(0, programs, BLOCK_PROGRAMS):
        program = start + tl.arange(0, BLOCK_PROGRAMS)
        mask = (program < programs)[:, None] & inside[None, :]
        count = tl.minimum(pixels - program * pixels_per_program, pixels_per_program).to(tl.float32)
        at = partial + program[:, None] * 2 * channels + member[None, :]
        deviation = tl.where(mask, tl.load(at, mask=mask, other=0) + (moved - mean)[None, :], 0.0)
        squares = tl.load(at + channels, mask=mask, other=0)
        m2 += tl.sum(squares + count[:, None] * deviation * deviation, axis=0)
    scale = 1 / tl.sqrt(tl.sum(m2, axis=0) / width / pixels + eps)
    tl.store(center + channel, mean - moved, mask=inside)
    tl.store(rstd + channel, scale, mask=inside)
    tl.store(average + channel, (own - (mean - moved)) * scale, mask=inside)


@jit
def apply_kernel(
    x: tl.tensor,
    y: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    center: tl.tensor,
    rstd: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    x_stride_n: tl.tensor,
    x_stride_p: tl.tensor,
    x_stride_c: tl.tensor,
    y_stride_n: tl.tensor,
    y_stride_p: tl.tensor,
    y_stride_c: tl.tensor,
    SWISH: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write the result for a block of pixels, given the statistics of its channels."""
    picture = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    here = channel < channels
    pixel = tl.program_id(0) * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)
    mask = (pixel < pixels)[:, None] & here[None, :]
    value = load_pixels(x, picture, pixel, channel, mask, x_stride_n, x_stride_p, x_stride_c)
    middle = tl.load(center + picture * channels + channel, mask=here, other=0)
    scale = tl.load(rstd + picture * channels + channel, mask=here, other=0)
    value = activate(value, weight, bias, middle, scale, channel, here, mask, SWISH)
    store_pixels(y, value, picture, pixel, channel, mask, y_stride_n, y_stride_p, y_stride_c)


@jit
def sums_kernel(
    g: tl.tensor,
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    center: tl.tensor,
    rstd: tl.tensor,
    partial: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    g_stride_n: tl.tensor,
    g_stride_p: tl.tensor,
    g_stride_c: tl.tensor,
    x_stride_n: tl.tensor,
    x_stride_p: tl.tensor,
    x_stride_c: tl.tensor,
    pixels_per_program: tl.tensor,
    SWISH: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Sum the gradient's products with the normalised x, and the gradient, over the pixels of this program."""
    picture = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    here = channel < channels
    middle = tl.load(center + picture * channels + channel, mask=here, other=0)
    scale = tl.load(rstd + picture * channels + channel, mask=here, other=0)
    first = tl.program_id(0) * pixels_per_program
    end = tl.minimum(first + pixels_per_program, pixels)
    plain = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    product = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    for start in range(first, end, BLOCK_PIXELS):
        pixel = start + tl.arange(0, BLOCK_PIXELS)
        mask = (pixel < end)[:, None] & here[None, :]
        value = load_pixels(x, picture, pixel, channel, mask, x_stride_n, x_stride_p, x_stride_c)
        gradient = load_pixels(g, picture, pixel, channel, mask, g_stride_n, g_stride_p, g_stride_c)
        gradient, normal = before_swish(gradient, value, weight, bias, middle, scale, channel, here, mask, SWISH)
        plain += gradient
        product += gradient * normal
    partial += (picture * tl.num_programs(0) + tl.program_id(0)) * 2 * channels
    store_sums(partial, product, plain, channel, here, channels)


@jit
def total_kernel(
    partial: tl.tensor,
    weight: tl.tensor,
    rstd: tl.tensor,
    average: tl.tensor,
    product_sum: tl.tensor,
    plain_sum: tl.tensor,
    means: tl.tensor,
    dshift: tl.tensor,
    channels: tl.tensor,
    width: tl.tensor,
    pixels: tl.tensor,
    programs: tl.tensor,
    BLOCK_PROGRAMS: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
) -> None:
    """Add up the parts of a group, and store what each of its channels has to do with all of them."""
    picture = tl.program_id(1).to(tl.int64)
    member = tl.arange(0, BLOCK_WIDTH)
    inside = member < width
    channel = tl.program_id(0) * width + member
    partial += picture * programs * 2 * channels
    product = tl.zeros((BLOCK_WIDTH,), tl.float32)
    plain = tl.zeros((BLOCK_WIDTH,), tl.float32)
    for start in range(0, programs, BLOCK_PROGRAMS):
        program = start + tl.arange(0, BLOCK_PROGRAMS)
        mask = (program < programs)[:, None] & inside[None, :]
        at = partial + program[:, None] * 2 * channels + channel[None, :]
        product += tl.sum(tl.load(at, mask=mask, other=0), axis=0)
        plain += tl.sum(tl.load(at + channels, mask=mask, other=0), axis=0)
    at = picture * channels + channel
    linear, constant = gradient_of_group(
        product, plain, weight, rstd, average, dshift, channel, inside, at, width, pixels
    )
    tl.store(product_sum + at, product, mask=inside)
    tl.store(plain_sum + at, plain, mask=inside)
    means += picture * 2 * channels + channel
    tl.store(means, linear, mask=inside)
    tl.store(means + channels, constant, mask=inside)


@jit
def differentiate_kernel(
    g: tl.tensor,
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    center: tl.tensor,
    rstd: tl.tensor,
    means: tl.tensor,
    dx: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    g_stride_n: tl.tensor,
    g_stride_p: tl.tensor,
    g_stride_c: tl.tensor,
    x_stride_n: tl.tensor,
    x_stride_p: tl.tensor,
    x_stride_c: tl.tensor,
    y_stride_n: tl.tensor,
    y_stride_p: tl.tensor,
    y_stride_c: tl.tensor,
    SWISH: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write the gradient for x of a block of pixels, given the means that it needs."""
    picture = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    here = channel < channels
    pixel = tl.program_id(0) * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)
    mask = (pixel < pixels)[:, None] & here[None, :]
    middle = tl.load(center + picture * channels + channel, mask=here, other=0)
    spread = tl.load(rstd + picture * channels + channel, mask=here, other=0)
    value = load_pixels(x, picture, pixel, channel, mask, x_stride_n, x_stride_p, x_stride_c)
    gradient = load_pixels(g, picture, pixel, channel, mask, g_stride_n, g_stride_p, g_stride_c)
    gradient, normal = before_swish(gradient, value, weight, bias, middle, spread, channel, here, mask, SWISH)
    means += picture * 2 * channels
    linear = tl.load(means + channel, mask=here, other=0)
    constant = tl.load(means + channels + channel, mask=here, other=0)
    scale = tl.load(weight + channel, mask=here, other=0).to(tl.float32)
    value = spread[None, :] * (gradient * scale[None, :] - constant[None, :] - normal * linear[None, :])
    store_pixels(dx, value, picture, pixel, channel, mask, y_stride_n, y_stride_p, y_stride_c)
