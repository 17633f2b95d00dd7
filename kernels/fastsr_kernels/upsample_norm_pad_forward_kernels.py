"""The kernels of `upsample_norm_pad`: the statistics of the enlarged picture, and its norm."""

from __future__ import annotations

from .backend import jit, tl
from .channel_statistics import merge, store_parts
from .reflect_pad_kernels import reflect_index
from .tiles import aligned, load_channels


@jit
def deep_statistics_kernel(
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
    store_parts(partial, mean, m2, channel, here, channels)


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
    value = 0.5625 * load_channels(picture + top + left, channel, mask)
    value += 0.1875 * load_channels(picture + top + right, channel, mask)
    value += 0.1875 * load_channels(picture + bottom + left, channel, mask)
    return value + 0.0625 * load_channels(picture + bottom + right, channel, mask)


@jit
def deep_apply_kernel(
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
