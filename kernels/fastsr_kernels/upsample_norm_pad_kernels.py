"""The kernels of `upsample_norm_pad`: statistics and norm of the upsampled image, and the gradient for `deep`."""

from __future__ import annotations

from .backend import jit, tl
from .channel_statistics import merge, store_parts, store_sums
from .reflect_pad_kernels import reflect_index
from .tiles import address, aligned, aligned_strides, load_channels, part_tile, program_part, program_tile

# The result


@jit
def deep_statistics_kernel(
    x: tl.tensor,
    partial: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    strides: tl.tuple,
    pixels: tl.tensor,
    pixels_per_program: tl.tensor,
    ALIGN: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Mean and squared deviations of U x, of which each pixel of x makes four."""
    channels, strides = aligned(channels, ALIGN), aligned_strides(strides, ALIGN)
    _, channel, here, first, end = program_part(pixels, pixels_per_program, channels, BLOCK_CHANNELS)
    count = 0.0
    mean = tl.zeros((BLOCK_CHANNELS,), tl.float32)
    m2 = tl.zeros((BLOCK_CHANNELS,), tl.float32)
    for start in range(first, end, BLOCK_PIXELS):
        pixel, mask = part_tile(start, end, here, BLOCK_PIXELS)
        more = tl.minimum(end - start, BLOCK_PIXELS).to(tl.float32)
        line = pixel // width
        row, column = line % height, pixel % width
        image = x + (line // height).to(tl.int64) * strides[0]
        for corner in range(4):
            value = _interpolate(
                image, 2 * row + corner // 2, 2 * column + corner % 2, channel, mask, height, width, strides
            )
            count, mean, m2 = merge(count, mean, m2, value, mask, more)
    partial += tl.program_id(0) * 2 * channels
    store_parts(partial, mean, m2, channel, here, channels)


@jit
def _interpolate(
    image: tl.tensor,
    row: tl.tensor,
    column: tl.tensor,
    channel: tl.tensor,
    mask: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    strides: tl.tuple,
) -> tl.tensor:
    """Return (U x)[row, column] in float32, for the image x of height x width."""
    # An even sample has 3/4 of the one below it and 1/4 of the one before; an odd one 1/4 of the one behind.
    near_h, far_h = row // 2, tl.minimum(tl.maximum(row // 2 + row % 2 * 2 - 1, 0), height - 1)
    near_w, far_w = column // 2, tl.minimum(tl.maximum(column // 2 + column % 2 * 2 - 1, 0), width - 1)
    top, bottom = near_h.to(tl.int64) * strides[1], far_h.to(tl.int64) * strides[1]
    left, right = near_w.to(tl.int64) * strides[2], far_w.to(tl.int64) * strides[2]
    value = 0.5625 * load_channels(image + top + left, channel, mask)
    value += 0.1875 * load_channels(image + top + right, channel, mask)
    value += 0.1875 * load_channels(image + bottom + left, channel, mask)
    return value + 0.0625 * load_channels(image + bottom + right, channel, mask)


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
    strides: tl.tuple,
    first_channel: tl.tensor,
    out_channels: tl.tensor,
    pixels: tl.tensor,
    PAD: tl.constexpr,
    ALIGN: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write all pixels of the result, the border's too, in the `channels` from `first_channel` on."""
    strides = aligned_strides(strides, ALIGN)
    channels, out_channels = aligned(channels, ALIGN), aligned(out_channels, ALIGN)
    first_channel = aligned(first_channel, ALIGN)
    _, pixel, channel, here, mask = program_tile(pixels, channels, BLOCK_PIXELS, BLOCK_CHANNELS)
    padded_h, padded_w = 2 * height + 2 * PAD, 2 * width + 2 * PAD
    line = pixel // padded_w
    row = reflect_index(line % padded_h - PAD, 2 * height)
    column = reflect_index(pixel % padded_w - PAD, 2 * width)
    image = x + (line // padded_h).to(tl.int64) * strides[0]
    value = _interpolate(image, row, column, channel, mask, height, width, strides)
    scale = tl.load(rstd + channel, mask=here) * tl.load(weight + channel, mask=here)
    center, shift = tl.load(mean + channel, mask=here), tl.load(bias + channel, mask=here)
    value = (value - center[None, :]) * scale[None, :] + shift[None, :]
    at = pixel.to(tl.int64)[:, None] * out_channels + (first_channel + channel)[None, :]
    tl.store(y + at, value.to(y.dtype.element_ty), mask=mask)


# The gradient, at the size of `deep`


@jit
def adjoint_kernel(
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
    g_strides: tl.tuple,
    strides: tl.tuple,
    pixels: tl.tensor,
    pixels_per_program: tl.tensor,
    PAD: tl.constexpr,
    ALIGN: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """Write t = U^T fold(g), and the sums of t and of its products with the normalised x over this program's pixels."""
    channels = aligned(channels, ALIGN)
    g_strides, strides = aligned_strides(g_strides, ALIGN), aligned_strides(strides, ALIGN)
    first_channel = aligned(first_channel, ALIGN)
    _, channel, here, first, end = program_part(pixels, pixels_per_program, channels, BLOCK_CHANNELS)
    center, spread = tl.load(mean + channel, mask=here, other=0), tl.load(rstd + channel, mask=here, other=0)
    plain = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    product = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    for start in range(first, end, BLOCK_PIXELS):
        pixel, mask = part_tile(start, end, here, BLOCK_PIXELS)
        line = pixel // width
        row, column = line % height, pixel % width
        image = g + (line // height).to(tl.int64) * g_strides[0]
        # A border of g adds to what lies within PAD pixels of the edge: to the outermost pixels of x, the first
        # (PAD + 2) // 2 of them. Only programs that have such pixels look there.
        mirrors_h = 1 + 2 * tl.max(_near_edge(row, height, PAD)).to(tl.int32)
        mirrors_w = 1 + 2 * tl.max(_near_edge(column, width, PAD)).to(tl.int32)
        total = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
        # Only the taps of a row are unrolled: sixteen loads at once would cost the registers of half the programs.
        for line_of_taps in range(4 * mirrors_h * mirrors_w):
            tap_h, mirror = line_of_taps % 4, line_of_taps // 4
            at_h, weight_h = _source(row, tap_h, mirror // mirrors_w, 2 * height, PAD)
            for tap_w in tl.static_range(4):
                at_w, weight_w = _source(column, tap_w, mirror % mirrors_w, 2 * width, PAD)
                factor = weight_h * weight_w
                at = image + at_h.to(tl.int64) * g_strides[1] + at_w.to(tl.int64) * g_strides[2]
                total += factor[:, None] * load_channels(at, first_channel + channel, mask & (factor > 0)[:, None])
        offset = address(pixel, height, width, strides)
        value = tl.load(x + offset[:, None] + channel[None, :], mask=mask, other=0).to(tl.float32)
        tl.store(t + pixel.to(tl.int64)[:, None] * channels + channel[None, :], total.to(t.dtype.element_ty), mask=mask)
        plain += total
        product += total * ((value - center[None, :]) * spread[None, :])
    partial += tl.program_id(0) * 2 * channels
    store_sums(partial, product, plain, channel, here, channels)


@jit
def _near_edge(i: tl.tensor, size: tl.tensor, PAD: tl.constexpr) -> tl.tensor:
    return ((2 * i - 1 <= PAD) | (2 * i + 2 >= 2 * size - 1 - PAD)).to(tl.int32) * (PAD > 0)


@jit
def _source(
    i: tl.tensor, tap: tl.tensor, mirror: tl.tensor, size: tl.tensor, PAD: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:
    """Return where a padded axis holds the sample `tap` of the four that U makes of sample `i`, and its weight.

    The axis has `size` samples without its border. Image 0 is the sample itself; 1 and 2 are its mirror images before
    and behind, of weight zero where there are none. Beyond the edge U repeats it: so do the samples here.
    """
    sample = tl.minimum(tl.maximum(2 * i - 1 + tap, 0), size - 1)
    place = tl.where(mirror == 0, sample, tl.where(mirror == 1, -sample, 2 * (size - 1) - sample))
    outside = ((place < 0) & (place >= -PAD)) | ((place >= size) & (place < size + PAD))
    held = tl.where(mirror == 0, place >= 0, outside)
    weight = tl.where((tap == 1) | (tap == 2), 0.75, 0.25)
    return place + PAD, tl.where(held, weight, 0.0)


@jit
def deep_gradient_kernel(
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
    strides: tl.tuple,
    pixels: tl.tensor,
    ALIGN: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    """dx = weight rstd (t - mean(t) - (U^T U normal) mean(t normal) / 4), the means over all pixels of `deep`."""
    channels, strides = aligned(channels, ALIGN), aligned_strides(strides, ALIGN)
    _, pixel, channel, here, mask = program_tile(pixels, channels, BLOCK_PIXELS, BLOCK_CHANNELS)
    line = pixel // width
    row, column = line % height, pixel % width
    image = x + (line // height).to(tl.int64) * strides[0]
    stencil = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    for tap_h in tl.static_range(3):
        at_h = tl.minimum(tl.maximum(row + tap_h - 1, 0), height - 1).to(tl.int64) * strides[1]
        for tap_w in tl.static_range(3):
            at_w = tl.minimum(tl.maximum(column + tap_w - 1, 0), width - 1).to(tl.int64) * strides[2]
            factor = (1.25 if tap_h == 1 else 0.375) * (1.25 if tap_w == 1 else 0.375)
            stencil += factor * load_channels(image + at_h + at_w, channel, mask)
    center, spread = tl.load(mean + channel, mask=here, other=0), tl.load(rstd + channel, mask=here, other=0)
    normal = (stencil - 4 * center[None, :]) * spread[None, :]  # the stencil's weights add up to 4
    at = pixel.to(tl.int64)[:, None] * channels + channel[None, :]
    gradient = tl.load(t + at, mask=mask, other=0).to(tl.float32)
    product = tl.load(dweight + channel, mask=here, other=0) / pixels
    plain = tl.load(dbias + channel, mask=here, other=0) / pixels
    scale = tl.load(weight + channel, mask=here, other=0) * spread
    value = scale[None, :] * (gradient - plain[None, :] - normal * (0.25 * product)[None, :])
    tl.store(dx + at, value.to(dx.dtype.element_ty), mask=mask)
