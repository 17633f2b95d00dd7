"""The kernels of `group_norm`, and their launchers.

Statistics and sums are made for each channel of each picture; what a group has in common follows from them when the
parts of the programs are put together. So a group may have any number of channels, and the shift, which moves the
mean of a channel, is needed there and nowhere else.

A group that fits into one program, FITTING numbers, is read once by a kernel that does everything; a larger one twice,
by blocks of pixels.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .backend import AotCase, device_guard, jit, tl, triton
from .norm_act_pad import OPTIONS, WARPS, merge, split
from .reflect_pad import BLOCK, nhwc_blocks

FITTING = 8192
"""Numbers of a group up to which one program takes it whole."""
PARTS = 4096
"""Numbers that a program of `_combine_kernel` or `_total_kernel` takes at a time."""


@jit
def load_pixels(
    x: tl.tensor,
    picture: tl.tensor,
    pixel: tl.tensor,
    channel: tl.tensor,
    mask: tl.tensor,
    stride_n: tl.tensor,
    stride_p: tl.tensor,
    stride_c: tl.tensor,
) -> tl.tensor:
    """Return a tile of pixels and channels of a picture, in float32."""
    x += picture * stride_n
    at = pixel.to(tl.int64)[:, None] * stride_p + channel.to(tl.int64)[None, :] * stride_c
    return tl.load(x + at, mask=mask, other=0).to(tl.float32)


@jit
def store_pixels(
    y: tl.tensor,
    value: tl.tensor,
    picture: tl.tensor,
    pixel: tl.tensor,
    channel: tl.tensor,
    mask: tl.tensor,
    stride_n: tl.tensor,
    stride_p: tl.tensor,
    stride_c: tl.tensor,
) -> None:
    """Store what `load_pixels` would load."""
    y += picture * stride_n
    at = pixel.to(tl.int64)[:, None] * stride_p + channel.to(tl.int64)[None, :] * stride_c
    tl.store(y + at, value.to(y.dtype.element_ty), mask=mask)


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


# Two passes: blocks of pixels, then what they have in common, then blocks of pixels.


@jit
def _statistics_kernel(
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
    tl.store(partial + channel, mean, mask=here)
    tl.store(partial + channels + channel, m2, mask=here)


@jit
def _combine_kernel(
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
def _apply_kernel(
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
def _sums_kernel(
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
    tl.store(partial + channel, tl.sum(product, axis=0), mask=here)
    tl.store(partial + channels + channel, tl.sum(plain, axis=0), mask=here)


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


@jit
def _total_kernel(
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
def _differentiate_kernel(
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


# One pass: a program takes a group.


@jit
def _group_kernel(
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
def _group_gradient_kernel(
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


# The launchers. Tensors of pixels are views (N, pixels, C) in which either step is one element.


def launch_forward(
    x: Tensor,
    y: Tensor,
    weight: Tensor,
    bias: Tensor,
    shift: Tensor | None,
    groups: int,
    eps: float,
    swish: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Write the result into `y`, dense; return it with center, rstd and average, (N, C) in float32."""
    x, out = rows(x, y), rows(y, y)
    pictures, pixels, channels = x.shape
    width = channels // groups
    found = center, rstd, average = [x.new_empty(pictures, channels, dtype=torch.float32) for _ in range(3)]
    moved = center if shift is None else shift.contiguous()  # any pointer: without a shift it is not read
    flags = {"SHIFTED": shift is not None}
    with device_guard(x):
        if _fits(width, pixels):
            _group_kernel[groups, pictures](
                x,
                out,
                weight,
                bias,
                moved,
                *found,
                channels,
                width,
                pixels,
                *x.stride(),
                *out.stride(),
                eps,
                SWISH=swish,
                **flags,
                **_whole(width, pixels),
                **OPTIONS,
            )
            return y, center, rstd, average
        tile = _tile(x)
        programs, per_program, channel_blocks = _parts(x, tile)
        partial = x.new_empty(pictures, programs, 2, channels, dtype=torch.float32)
        _statistics_kernel[programs, channel_blocks, pictures](
            x, partial, channels, pixels, *x.stride(), per_program, **tile, **OPTIONS
        )
        _combine_kernel[groups, pictures](
            partial,
            moved,
            *found,
            channels,
            width,
            pixels,
            programs,
            per_program,
            eps,
            **flags,
            **_parts_of_group(width),
            **OPTIONS,
        )
        _apply_kernel[triton.cdiv(pixels, tile["BLOCK_PIXELS"]), channel_blocks, pictures](
            x,
            out,
            weight,
            bias,
            center,
            rstd,
            channels,
            pixels,
            *x.stride(),
            *out.stride(),
            SWISH=swish,
            **tile,
            **OPTIONS,
        )
    return y, center, rstd, average


def launch_backward(
    g: Tensor,
    x: Tensor,
    dx: Tensor,
    weight: Tensor,
    bias: Tensor,
    center: Tensor,
    rstd: Tensor,
    average: Tensor,
    groups: int,
    swish: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Write the gradient for x into `dx`, dense; return it with those for weight, bias and shift in float32."""
    g, x, out = rows(g, dx), rows(x, dx), rows(dx, dx)
    pictures, pixels, channels = x.shape
    width = channels // groups
    sums = product, plain, dshift = [torch.empty_like(center) for _ in range(3)]
    tensors = g, x, weight, bias, center, rstd
    steps = *g.stride(), *x.stride()
    with device_guard(x):
        if _fits(width, pixels):
            sizes = channels, width, pixels, *steps, *out.stride()
            _group_gradient_kernel[groups, pictures](
                *tensors, average, *sums, out, *sizes, SWISH=swish, **_whole(width, pixels), **OPTIONS
            )
        else:
            tile = _tile(x)
            programs, per_program, channel_blocks = _parts(x, tile)
            partial = x.new_empty(pictures, programs, 2, channels, dtype=torch.float32)
            means = x.new_empty(pictures, 2, channels, dtype=torch.float32)
            _sums_kernel[programs, channel_blocks, pictures](
                *tensors, partial, channels, pixels, *steps, per_program, SWISH=swish, **tile, **OPTIONS
            )
            sizes = channels, width, pixels, programs
            _total_kernel[groups, pictures](
                partial,
                weight,
                rstd,
                average,
                product,
                plain,
                means,
                dshift,
                *sizes,
                **_parts_of_group(width),
                **OPTIONS,
            )
            _differentiate_kernel[triton.cdiv(pixels, tile["BLOCK_PIXELS"]), channel_blocks, pictures](
                *tensors, means, out, channels, pixels, *steps, *out.stride(), SWISH=swish, **tile, **OPTIONS
            )
    return dx, product.sum(0), plain.sum(0), dshift


def rows(x: Tensor, like: Tensor) -> Tensor:
    """Return `x` (N, C, H, W) as (N, pixels, C), a copy unless the steps are those of a part of `like`, dense."""
    order = torch.contiguous_format if like.is_contiguous() else torch.channels_last
    adjacent = x.stride(1) == 1 if order == torch.channels_last else x.stride(3) == 1
    if not adjacent or x.stride(2) != x.shape[3] * x.stride(3):
        x = x.contiguous(memory_format=order)
    return x.flatten(2).transpose(1, 2)


def _fits(width: int, pixels: int) -> bool:
    return int(triton.next_power_of_2(width) * triton.next_power_of_2(pixels)) <= FITTING


def _whole(width: int, pixels: int) -> dict[str, int]:
    return {"BLOCK_PIXELS": triton.next_power_of_2(pixels), "BLOCK_WIDTH": triton.next_power_of_2(width)}


def _tile(x: Tensor) -> dict[str, int]:
    """Return how many pixels and channels of `x` (N, pixels, C) a program takes at a time."""
    _, pixels, channels = x.shape
    if x.stride(2) == 1:
        blocks = nhwc_blocks(channels, (x.stride(0), 1, x.stride(1)))
        return {name: blocks[name] for name in ("BLOCK_PIXELS", "BLOCK_CHANNELS")}
    block = min(triton.next_power_of_2(pixels), BLOCK)
    return {"BLOCK_PIXELS": block, "BLOCK_CHANNELS": min(triton.next_power_of_2(channels), BLOCK // block)}


def _parts(x: Tensor, tile: dict[str, int]) -> tuple[int, int, int]:
    """Return into how many programs the pixels of a picture are split, how many each takes, and blocks of channels."""
    pictures, pixels, channels = x.shape
    channel_blocks = triton.cdiv(channels, tile["BLOCK_CHANNELS"])
    _, per_program = split(pictures * channel_blocks * pixels, tile["BLOCK_PIXELS"])
    return math.ceil(pixels / per_program), per_program, channel_blocks


def _parts_of_group(width: int) -> dict[str, int]:
    block = triton.next_power_of_2(width)
    return {"BLOCK_PROGRAMS": max(1, PARTS // block), "BLOCK_WIDTH": block}


def aot_cases() -> list[AotCase]:
    """Return what the launchers launch for layers of SR3's U-Net, for ``python -m benchmarks.aot``."""
    vectors = ("partial", "weight", "bias", "center", "rstd", "average", "means", "product_sum", "plain_sum", "dshift")
    lengths = ("channels", "pixels", "width", "programs", "pixels_per_program")
    steps = tuple(f"{tensor}_stride_{axis}" for tensor in "gxy" for axis in "npc")
    scalars = {**dict.fromkeys((*lengths, *steps), "i32"), "eps": "fp32"}

    def case(name: str, kernel: Any, dtype: str, nhwc: bool, constants: dict[str, Any]) -> AotCase:
        one = {f"{tensor}_stride_{'c' if nhwc else 'p'}": 1 for tensor in "gxy"}
        flags = {"SWISH": True, "SHIFTED": True, **one, **constants}
        return AotCase(
            name=name,
            kernel=kernel,
            signature={
                **dict.fromkeys(("g", "x", "y", "dx", "shift"), f"*{dtype}"),
                **dict.fromkeys(vectors, "*fp32"),
                **scalars,
            },
            constants={name: value for name, value in flags.items() if name in kernel.arg_names},
            num_warps=WARPS,
            divisible=tuple(name for name in ("channels", "pixels", *steps) if name not in flags),
        )

    passes = (("statistics", _statistics_kernel), ("apply", _apply_kernel), ("sums", _sums_kernel))
    layers = ((64, "bf16", True), (192, "bf16", True), (64, "fp32", True), (64, "bf16", False))
    cases = []
    for channels, dtype, nhwc in layers:
        order = "channels_last" if nhwc else "contiguous"
        picture = torch.empty(1, channels, 512, 512, device="meta")
        like = picture.contiguous(memory_format=torch.channels_last) if nhwc else picture
        tile = _tile(rows(like, like))
        cases += [
            case(f"{name}, {channels} channels, {dtype}, {order}", kernel, dtype, nhwc, tile)
            for name, kernel in (*passes, ("gradient", _differentiate_kernel))
        ]
    for width in (2, 6, 48):
        cases += [
            case(f"{name}, groups of {width} channels", kernel, "bf16", True, _parts_of_group(width))
            for name, kernel in (("combine", _combine_kernel), ("total", _total_kernel))
        ]
    for width, pixels, dtype, nhwc in ((16, 256, "bf16", True), (6, 1024, "bf16", True), (2, 4096, "fp32", False)):
        order = "channels_last" if nhwc else "contiguous"
        cases += [
            case(f"{name}, {width} channels of {pixels} pixels, {dtype}, {order}", kernel, dtype, nhwc, whole)
            for name, kernel in (("whole group", _group_kernel), ("gradient of it", _group_gradient_kernel))
            for whole in (_whole(width, pixels),)
        ]
    return cases
