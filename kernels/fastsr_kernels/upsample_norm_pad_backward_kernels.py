"""The kernels of `upsample_norm_pad`'s gradient, at the size of `deep`."""

from __future__ import annotations

from .backend import jit, tl
from .channel_statistics import store_sums
from .tiles import address, aligned, load_channels


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
                total += factor[:, None] * load_channels(at, first_channel + channel, mask & (factor > 0)[:, None])
        offset = address(pixel, height, width, stride_n, stride_h, stride_w)
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
            stencil += factor * load_channels(picture + at_h + at_w, channel, mask)
    center, spread = tl.load(mean + channel, mask=here, other=0), tl.load(rstd + channel, mask=here, other=0)
    normal = (stencil - 4 * center[None, :]) * spread[None, :]  # the stencil's weights add up to 4
    at = pixel.to(tl.int64)[:, None] * channels + channel[None, :]
    gradient = tl.load(t + at, mask=mask, other=0).to(tl.float32)
    product = tl.load(dweight + channel, mask=here, other=0) / pixels
    plain = tl.load(dbias + channel, mask=here, other=0) / pixels
    scale = tl.load(weight + channel, mask=here, other=0) * spread
    value = scale[None, :] * (gradient - plain[None, :] - normal * (0.25 * product)[None, :])
    tl.store(dx + at, value.to(dx.dtype.element_ty), mask=mask)
