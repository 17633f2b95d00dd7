"""Kernels of `group_norm` that read x once: a program takes a whole group."""

from __future__ import annotations

from .backend import jit, tl
from .group_norm_tile_kernels import activate, before_swish, gradient_of_group
from .tiles import load_pixels, store_pixels


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
    x_stride_n: tl.tensor,
    x_stride_p: tl.tensor,
    x_stride_c: tl.tensor,
    y_stride_n: tl.tensor,
    y_stride_p: tl.tensor,
    y_stride_c: tl.tensor,
    eps: tl.tensor,
    SHIFTED: tl.constexpr,
    SWISH: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
) -> None:
    """Write the result for a group, and its statistics."""
    picture = tl.program_id(1).to(tl.int64)
    member = tl.arange(0, BLOCK_WIDTH)
    inside = member < width
    channel = tl.program_id(0) * width + member
    at = picture * channels + channel
    pixel = tl.arange(0, BLOCK_PIXELS)
    mask = (pixel < pixels)[:, None] & inside[None, :]
    value = load_pixels(x, picture, pixel, channel, mask, x_stride_n, x_stride_p, x_stride_c)
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
    store_pixels(y, value, picture, pixel, channel, mask, y_stride_n, y_stride_p, y_stride_c)


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
    BLOCK_WIDTH: tl.constexpr,
) -> None:
    """Write the gradient for x of a group, and what those for weight, bias and shift need."""
    picture = tl.program_id(1).to(tl.int64)
    member = tl.arange(0, BLOCK_WIDTH)
    inside = member < width
    channel = tl.program_id(0) * width + member
    at = picture * channels + channel
    pixel = tl.arange(0, BLOCK_PIXELS)
    mask = (pixel < pixels)[:, None] & inside[None, :]
    middle, spread = tl.load(center + at, mask=inside, other=0), tl.load(rstd + at, mask=inside, other=0)
    value = load_pixels(x, picture, pixel, channel, mask, x_stride_n, x_stride_p, x_stride_c)
    gradient = load_pixels(g, picture, pixel, channel, mask, g_stride_n, g_stride_p, g_stride_c)
    gradient, normal = before_swish(gradient, value, weight, bias, middle, spread, channel, inside, mask, SWISH)
    product, plain = tl.sum(gradient * normal, axis=0), tl.sum(gradient, axis=0)
    linear, constant = gradient_of_group(
        product, plain, weight, rstd, average, dshift, channel, inside, at, width, pixels
    )
    tl.store(product_sum + at, product, mask=inside)
    tl.store(plain_sum + at, plain, mask=inside)
    scale = tl.load(weight + channel, mask=inside, other=0).to(tl.float32)
    value = spread[None, :] * (gradient * scale[None, :] - constant - normal * linear)
    store_pixels(dx, value, picture, pixel, channel, mask, y_stride_n, y_stride_p, y_stride_c)
