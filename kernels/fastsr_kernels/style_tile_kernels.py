"""Functions of `style_epilogue`'s kernels: how a tile of pixels and channels becomes what is normalised."""

from __future__ import annotations

from .backend import jit, tl
from .tiles import load_pixels


@jit
def load_blurred(
    x: tl.tensor,
    picture: tl.tensor,
    pixel: tl.tensor,
    channel: tl.tensor,
    mask: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_p: tl.tensor,
    stride_c: tl.tensor,
) -> tl.tensor:
    """Return a tile of a picture, its rows and columns convolved with [1, 2, 1] / 4; beyond the edges are zeros."""
    column = pixel % width
    result = load_pixels(x, picture, pixel, channel, mask, stride_n, stride_p, stride_c) * 0.25
    for down in tl.static_range(-1, 2):
        for right in tl.static_range(-1, 2):
            if down * down + right * right > 0:
                near = pixel + down * width + right
                inside = (near >= 0) & (near < pixels) & (column + right >= 0) & (column + right < width)
                value = load_pixels(x, picture, near, channel, mask & inside[:, None], stride_n, stride_p, stride_c)
                result += value * ((2 - down * down) * (2 - right * right) / 16)
    return result


@jit
def load_noisy(
    x: tl.tensor,
    bias: tl.tensor,
    noise: tl.tensor,
    noise_weight: tl.tensor,
    picture: tl.tensor,
    pixel: tl.tensor,
    channel: tl.tensor,
    here: tl.tensor,
    mask: tl.tensor,
    pixels: tl.tensor,
    width: tl.tensor,
    noise_stride_n: tl.tensor,
    stride_n: tl.tensor,
    stride_p: tl.tensor,
    stride_c: tl.tensor,
    BLUR: tl.constexpr,
    NOISE: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """Return what the activation takes, for a tile, and the noise of its pixels."""
    if BLUR:
        value = load_blurred(x, picture, pixel, channel, mask, pixels, width, stride_n, stride_p, stride_c)
    else:
        value = load_pixels(x, picture, pixel, channel, mask, stride_n, stride_p, stride_c)
    value += tl.load(bias + channel, mask=here, other=0).to(tl.float32)[None, :]
    drawn = tl.zeros_like(pixel).to(tl.float32)
    if NOISE:
        drawn = tl.load(noise + picture * noise_stride_n + pixel, mask=pixel < pixels, other=0).to(tl.float32)
        value += drawn[:, None] * tl.load(noise_weight + channel, mask=here, other=0).to(tl.float32)[None, :]
    return value, drawn


@jit
def activate(value: tl.tensor, slope: tl.tensor) -> tl.tensor:
    """LeakyReLU."""
    return tl.where(value > 0, value, value * slope)


@jit
def load_style(
    style: tl.tensor, picture: tl.tensor, channel: tl.tensor, channels: tl.tensor, here: tl.tensor
) -> tuple[tl.tensor, tl.tensor]:
    """Return scale and shift of some channels of a picture."""
    style += picture * 2 * channels
    scale = tl.load(style + channel, mask=here, other=0).to(tl.float32) + 1
    return scale, tl.load(style + channels + channel, mask=here, other=0).to(tl.float32)
