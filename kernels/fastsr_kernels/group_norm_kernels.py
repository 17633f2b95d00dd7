"""The kernels of `group_norm`.

A group that fits into one program is read once; a larger one is read twice, by blocks of pixels.
"""

from __future__ import annotations

from .backend import jit, tl
from .channel_statistics import merge, store_parts, store_sums
from .tiles import load_pixels, part_tile, program_part, program_tile, store_pixels

# Functions of a tile, or of the channels of a group


@jit
def activate(
    value: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    center: tl.tensor,
    rstd: tl.tensor,
    channel: tl.tensor,
    here: tl.tensor,
    mask: tl.tensor,
    SWISH: tl.constexpr,
) -> tl.tensor:
    """Return the result for a tile of x, given the statistics of its channels."""
    scale = tl.load(weight + channel, mask=here, other=0).to(tl.float32) * rstd
    shift = tl.load(bias + channel, mask=here, other=0).to(tl.float32)
    value = tl.where(mask, (value - center[None, :]) * scale[None, :] + shift[None, :], 0.0)
    if SWISH:
        value = value * tl.sigmoid(value)
    return value


@jit
def before_swish(
    gradient: tl.tensor,
    value: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    center: tl.tensor,
    rstd: tl.tensor,
    channel: tl.tensor,
    here: tl.tensor,
    mask: tl.tensor,
    SWISH: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """Return the gradient before the activation, and the normalised x."""
    normal = tl.where(mask, (value - center[None, :]) * rstd[None, :], 0.0)
    if SWISH:
        scale = tl.load(weight + channel, mask=here, other=0).to(tl.float32)
        shift = tl.load(bias + channel, mask=here, other=0).to(tl.float32)
        h = normal * scale[None, :] + shift[None, :]
        s = tl.sigmoid(h)
        gradient = gradient * s * (1 + h * (1 - s))
    return gradient, normal


@jit
def gradient_of_group(
    product: tl.tensor,
    plain: tl.tensor,
    weight: tl.tensor,
    rstd: tl.tensor,
    average: tl.tensor,
    dshift: tl.tensor,
    channel: tl.tensor,
    inside: tl.tensor,
    at: tl.tensor,
    width: tl.tensor,
    pixels: tl.tensor,
) -> tuple[tl.tensor, tl.tensor]:
    """Store the gradient for the shift of a group's channels; return the means that the gradient for x needs.

    dx = rstd (weight g - mean(weight g) - normal mean(weight g normal)), the means over the group; the sum of dx over
    the pixels needs of normal its mean over each channel.
    """
    scale = tl.load(weight + channel, mask=inside, other=0).to(tl.float32)
    linear = tl.sum(scale * product, axis=0) / width / pixels
    constant = tl.sum(scale * plain, axis=0) / width / pixels
    spread = tl.load(rstd + at, mask=inside, other=0)
    own = tl.load(average + at, mask=inside, other=0)
    tl.store(dshift + at, spread * (scale * plain - pixels * (constant + own * linear)), mask=inside)
    return linear, constant


# Kernels that read x once: a program takes a whole group


@jit
def _whole_group(
    pixels: tl.tensor, width: tl.tensor, BLOCK_PIXELS: tl.constexpr, BLOCK_WIDTH: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Return image, pixel, channel, inside and mask of a program that takes one group, of `width` channels.

    `inside` says which of the block's channels belong to the group, `mask` which elements of the tile do.
    """
    member = tl.arange(0, BLOCK_WIDTH)
    inside = member < width
    pixel = tl.arange(0, BLOCK_PIXELS)
    mask = (pixel < pixels)[:, None] & inside[None, :]
    return tl.program_id(1).to(tl.int64), pixel, tl.program_id(0) * width + member, inside, mask


@jit
def group_kernel(
    x: tl.tensor,
    y: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    shift: tl.tensor,
    center: tl.tensor,
    rstd: tl.tensor,
    average: tl.tensor,
    channels: tl.tensor,
    width: tl.tensor,
    pixels: tl.tensor,
    x_strides: tl.tuple,
    y_strides: tl.tuple,
    eps: tl.tensor,
    SHIFTED: tl.constexpr,
    SWISH: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
) -> None:
    """Write the result for a group, and its statistics."""
    image, pixel, channel, inside, mask = _whole_group(pixels, width, BLOCK_PIXELS, BLOCK_WIDTH)
    at = image * channels + channel
    value = load_pixels(x, image, pixel, channel, mask, x_strides)
    moved = tl.zeros((BLOCK_WIDTH,), tl.float32)
    if SHIFTED:
        moved = tl.load(shift + at, mask=inside, other=0).to(tl.float32)
    own = tl.sum(value, axis=0) / pixels
    middle = tl.sum(own + moved, axis=0) / width - moved
    deviation = tl.where(mask, value - middle[None, :], 0.0)
    variance = tl.sum(tl.sum(deviation * deviation, axis=0), axis=0) / width / pixels
    scale = tl.zeros((BLOCK_WIDTH,), tl.float32) + 1 / tl.sqrt(variance + eps)
    tl.store(center + at, middle, mask=inside)
    tl.store(rstd + at, scale, mask=inside)
    tl.store(average + at, (own - middle) * scale, mask=inside)
    value = activate(value, weight, bias, middle, scale, channel, inside, mask, SWISH)
    store_pixels(y, value, image, pixel, channel, mask, y_strides)


@jit
def group_gradient_kernel(
    g: tl.tensor,
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    center: tl.tensor,
    rstd: tl.tensor,
    average: tl.tensor,
    product_sum: tl.tensor,
    plain_sum: tl.tensor,
    dshift: tl.tensor,
    dx: tl.tensor,
    channels: tl.tensor,
    width: tl.tensor,
    pixels: tl.tensor,
    g_strides: tl.tuple,
    x_strides: tl.tuple,
    y_strides: tl.tuple,
    SWISH: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
) -> None:
    """Write the gradient for x of a group, and what those for weight, bias and shift need."""
    image, pixel, channel, inside, mask = _whole_group(pixels, width, BLOCK_PIXELS, BLOCK_WIDTH)
    at = image * channels + channel
    middle, spread = tl.load(center + at, mask=inside, other=0), tl.load(rstd + at, mask=inside, other=0)
    value = load_pixels(x, image, pixel, channel, mask, x_strides)
    gradient = load_pixels(g, image, pixel, channel, mask, g_strides)
    gradient, normal = before_swish(gradient, value, weight, bias, middle, spread, channel, inside, mask, SWISH)
    product, plain = tl.sum(gradient * normal, axis=0), tl.sum(gradient, axis=0)
    linear, constant = gradient_of_group(
        product, plain, weight, rstd, average, dshift, channel, inside, at, width, pixels
    )
    tl.store(product_sum + at, product, mask=inside)
    tl.store(plain_sum + at, plain, mask=inside)
    scale = tl.load(weight + channel, mask=inside, other=0).to(tl.float32)
    value = spread[None, :] * (gradient * scale[None, :] - constant - normal * linear)
    store_pixels(dx, value, image, pixel, channel, mask, y_strides)


# Kernels that read x twice: blocks of pixels, the statistics of each group, then blocks of pixels again


@jit
def statistics_kernel(
    x: tl.tensor,
    partial: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    x_strides: tl.tuple,
    pixels_per_program: tl.tensor,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Find mean and sum of squared deviations of each channel over the pixels of this program."""
    image, channel, here, first, end = program_part(pixels, pixels_per_program, channels, BLOCK_CHANNELS)
    count = 0.0
    mean = tl.zeros((BLOCK_CHANNELS,), tl.float32)
    m2 = tl.zeros((BLOCK_CHANNELS,), tl.float32)
    for start in range(first, end, BLOCK_PIXELS):
        pixel, mask = part_tile(start, end, here, BLOCK_PIXELS)
        value = load_pixels(x, image, pixel, channel, mask, x_strides)
        count, mean, m2 = merge(count, mean, m2, value, mask, tl.minimum(end - start, BLOCK_PIXELS).to(tl.float32))
    partial += (image * tl.num_programs(0) + tl.program_id(0)) * 2 * channels
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
    image = tl.program_id(1).to(tl.int64)
    member = tl.arange(0, BLOCK_WIDTH)
    inside = member < width
    channel = image * channels + tl.program_id(0) * width + member
    partial += image * programs * 2 * channels + tl.program_id(0) * width
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
    x_strides: tl.tuple,
    y_strides: tl.tuple,
    SWISH: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write the result for a block of pixels, given the statistics of its channels."""
    image, pixel, channel, here, mask = program_tile(pixels, channels, BLOCK_PIXELS, BLOCK_CHANNELS)
    value = load_pixels(x, image, pixel, channel, mask, x_strides)
    middle = tl.load(center + image * channels + channel, mask=here, other=0)
    scale = tl.load(rstd + image * channels + channel, mask=here, other=0)
    value = activate(value, weight, bias, middle, scale, channel, here, mask, SWISH)
    store_pixels(y, value, image, pixel, channel, mask, y_strides)


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
    g_strides: tl.tuple,
    x_strides: tl.tuple,
    pixels_per_program: tl.tensor,
    SWISH: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Sum the gradient's products with the normalised x, and the gradient, over the pixels of this program."""
    image, channel, here, first, end = program_part(pixels, pixels_per_program, channels, BLOCK_CHANNELS)
    middle = tl.load(center + image * channels + channel, mask=here, other=0)
    scale = tl.load(rstd + image * channels + channel, mask=here, other=0)
    plain = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    product = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    for start in range(first, end, BLOCK_PIXELS):
        pixel, mask = part_tile(start, end, here, BLOCK_PIXELS)
        value = load_pixels(x, image, pixel, channel, mask, x_strides)
        gradient = load_pixels(g, image, pixel, channel, mask, g_strides)
        gradient, normal = before_swish(gradient, value, weight, bias, middle, scale, channel, here, mask, SWISH)
        plain += gradient
        product += gradient * normal
    partial += (image * tl.num_programs(0) + tl.program_id(0)) * 2 * channels
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
    image = tl.program_id(1).to(tl.int64)
    member = tl.arange(0, BLOCK_WIDTH)
    inside = member < width
    channel = tl.program_id(0) * width + member
    partial += image * programs * 2 * channels
    product = tl.zeros((BLOCK_WIDTH,), tl.float32)
    plain = tl.zeros((BLOCK_WIDTH,), tl.float32)
    for start in range(0, programs, BLOCK_PROGRAMS):
        program = start + tl.arange(0, BLOCK_PROGRAMS)
        mask = (program < programs)[:, None] & inside[None, :]
        at = partial + program[:, None] * 2 * channels + channel[None, :]
        product += tl.sum(tl.load(at, mask=mask, other=0), axis=0)
        plain += tl.sum(tl.load(at + channels, mask=mask, other=0), axis=0)
    at = image * channels + channel
    linear, constant = gradient_of_group(
        product, plain, weight, rstd, average, dshift, channel, inside, at, width, pixels
    )
    tl.store(product_sum + at, product, mask=inside)
    tl.store(plain_sum + at, plain, mask=inside)
    means += image * 2 * channels + channel
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
    g_strides: tl.tuple,
    x_strides: tl.tuple,
    y_strides: tl.tuple,
    SWISH: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write the gradient for x of a block of pixels, given the means that it needs."""
    image, pixel, channel, here, mask = program_tile(pixels, channels, BLOCK_PIXELS, BLOCK_CHANNELS)
    middle = tl.load(center + image * channels + channel, mask=here, other=0)
    spread = tl.load(rstd + image * channels + channel, mask=here, other=0)
    value = load_pixels(x, image, pixel, channel, mask, x_strides)
    gradient = load_pixels(g, image, pixel, channel, mask, g_strides)
    gradient, normal = before_swish(gradient, value, weight, bias, middle, spread, channel, here, mask, SWISH)
    means += image * 2 * channels
    linear = tl.load(means + channel, mask=here, other=0)
    constant = tl.load(means + channels + channel, mask=here, other=0)
    scale = tl.load(weight + channel, mask=here, other=0).to(tl.float32)
    value = spread[None, :] * (gradient * scale[None, :] - constant[None, :] - normal * linear[None, :])
    store_pixels(dx, value, image, pixel, channel, mask, y_strides)
