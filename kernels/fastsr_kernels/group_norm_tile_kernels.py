"""What the kernels of `group_norm` do with a tile of x, or with the channels of a group."""

from __future__ import annotations

from .backend import jit, tl


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
