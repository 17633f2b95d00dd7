"""The kernels of `upsample_norm_pad`, and their launchers.

A program makes some pixels of `deep`, or of the result, and a block of the channels of `deep`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .backend import AotCase, device_guard, jit, tl, triton
from .channel_statistics import OPTIONS, WARPS, combine, merge, split, total
from .norm_act_pad_kernels import address, apply_norm, channels_adjacent, differentiate_norm, statistics, strides
from .reflect_pad import aligned, empty_nhwc, nhwc_blocks, reflect_index


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


def launch_forward(
    skip: Tensor, deep: Tensor, weight: Tensor, bias: Tensor, y: Tensor, pad: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Write the result into `y`, NHWC; return it with mean and 1 / sqrt(variance + eps) of each channel."""
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


def launch_backward(
    g: Tensor, skip: Tensor, deep: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, pad: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients for skip, deep, weight and bias, given `g` for the result."""
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
