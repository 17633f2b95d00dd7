"""The discriminator in StyleGAN's training: residual, as in StyleGAN 2 (Karras et al., arXiv 1912.04958)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastsr_kernels.upsample_blur import blur_downsample

from .network import COLOURS, START, EqualisedConv2d, EqualisedLinear

SLOPE = 0.2
GROUP = 4
"""The most images that `spread` compares."""
EPS = 1e-8


class Layer(nn.Module):
    """A convolution, a bias and LeakyReLU.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: side of the kernel.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3):
        super().__init__()
        self.conv = EqualisedConv2d(inputs, outputs, kernel)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        return F.leaky_relu(self.conv(x) + self.bias[:, None, None], SLOPE)


class Block(nn.Module):
    """Two convolutions, between which the size is halved, beside one of kernel 1 after it is halved.

    Args:
        inputs: channels in.
        outputs: channels out.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.fine, self.coarse = Layer(inputs, inputs), Layer(inputs, outputs)
        self.beside = EqualisedConv2d(inputs, outputs, kernel=1, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, 2 H, 2 W) to (N, outputs, H, W)."""
        deep = self.coarse(blur_downsample(self.fine(x)))
        return (deep + self.beside(blur_downsample(x))) * math.sqrt(0.5)


class Discriminator(nn.Module):
    """Says by one number how real an image looks: a logit, positive for real.

    Args:
        channels: at each side, from 4 on to that of the images, as those of the generator.
    """

    def __init__(self, channels: Sequence[int]):
        super().__init__()
        widths = list(channels)[::-1]
        self.colours = Layer(COLOURS, widths[0], kernel=1)
        self.blocks = nn.Sequential(*(Block(*pair) for pair in pairwise(widths)))
        self.last = Layer(widths[-1] + 1, widths[-1])
        self.dense = EqualisedLinear(widths[-1] * START**2, widths[-1])
        self.judgement = EqualisedLinear(widths[-1], 1, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 3, side, side) in [-1, 1] to logits (N, 1)."""
        x = self.blocks(self.colours(x))
        x = self.last(torch.cat([x, minibatch_stddev(x)], 1))
        return self.judgement(F.leaky_relu(self.dense(x.flatten(1)), SLOPE))


def minibatch_stddev(x: Tensor) -> Tensor:
    """Return how much images differ (Karras et al., arXiv 1710.10196): fakes that are all alike are told by it.

    The images are taken in groups of 4, or of as many as there can be groups of. For each group it is the mean over
    all features of their standard deviation.

    Args:
        x: features, (N, C, H, W).

    Returns:
        (N, 1, H, W).
    """
    groups = x.unflatten(0, (math.gcd(len(x), GROUP), -1)).float()
    deviation = (groups.var(0, correction=0) + EPS).sqrt().mean((1, 2, 3))
    return deviation.to(x.dtype).repeat(len(groups))[:, None, None, None].expand(-1, 1, *x.shape[2:])


SHIFT = 1 / 8
"""The farthest that images are moved, as a part of their side."""
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0
"""Deviations: of what is added, for images in [-1, 1], and of binary logarithms of factors."""
ADAPT_EVERY = 4
"""Steps between changes of p."""


def augment(images: Tensor, p: Tensor) -> Tensor:
    """Return images changed at random, by torch's random numbers of their device.

    The kinds are those of the paper that move whole pixels (mirroring, quarter turns, shifts, where beyond the edges
    the image is mirrored) and those of colour (brightness, contrast, inverted luma, hue, saturation).

    Args:
        images: float32 (N, 3, S, S), nominally in [-1, 1]; gradients flow through.
        p: the probability of each kind, a number on their device.
    """
    n, channels, side, _ = images.shape
    places = _places(n, side, p)[:, None].expand(-1, channels, -1)
    matrix, shift = _colours(n, p)
    changed = torch.baddbmm(shift, matrix, images.flatten(2).gather(2, places)).unflatten(2, (side, side))
    return changed.contiguous(memory_format=torch.channels_last)


class Adaptation(nn.Module):
    """The probability of `augment`, which grows while the discriminator is sure of real images, and falls otherwise.

    How sure it is, the paper's r_t, is the mean of the signs of its logits of real pictures.

    Attributes:
        p: the probability, from 0 to 1.
        sureness: r_t when it was last measured.

    Args:
        target: of r_t.
        images: in how many of them p would go from 0 to 1.
    """

    p: Tensor
    sureness: Tensor
    _signs: Tensor

    def __init__(self, target: float, pictures: int):
        super().__init__()
        self._target, self._pictures = target, pictures
        for name in ("p", "sureness", "_signs"):
            self.register_buffer(name, torch.zeros(()))

    @torch.no_grad()
    def update(self, signs: Tensor, batch: int, step: int) -> None:
        """Count a step.

        Args:
            signs: the mean of the signs of logits of its real images, in all processes.
            batch: how many images those are.
            step: its number, from 0 on.
        """
        self._signs += signs / ADAPT_EVERY
        if (step + 1) % ADAPT_EVERY == 0:
            change = (self._signs - self._target).sign() * (batch * ADAPT_EVERY / self._pictures)
            self.p.add_(change).clamp_(0, 1)
            self.sureness.copy_(self._signs)
            self._signs.zero_()


def _chosen(n: int, p: Tensor) -> Tensor:
    """Return 1 for images to which a kind of change is made, and 0 for others, (N,)."""
    return (torch.rand(n, device=p.device) < p).float()


def _places(n: int, side: int, p: Tensor) -> Tensor:
    """Return for each pixel of a result which pixel of its image it is, int64 (N, S * S)."""
    device, last = p.device, side - 1
    shifts = [(torch.rand(n, device=device) * 2 - 1) * (SHIFT * side) * chosen for chosen in [_chosen(n, p)] * 2]
    turns = (torch.randint(4, (n,), device=device) * _chosen(n, p)).long()[:, None, None]
    mirrored = torch.rand(n, device=device).lt(0.5 * _chosen(n, p))[:, None, None]
    axis = torch.arange(side, device=device)
    y, x = (last - (last - (axis - shift.round().long()[:, None]).abs()).abs() for shift in shifts)
    y, x = torch.broadcast_tensors(y[:, :, None], x[:, None, :])
    y, x = torch.where(turns % 2 == 1, x, y), torch.where(turns % 2 == 1, last - y, x)
    y, x = (torch.where(turns >= 2, last - each, each) for each in (y, x))
    x = torch.where(mirrored, last - x, x)
    return (y * side + x).flatten(1)


def _colours(n: int, p: Tensor) -> tuple[Tensor, Tensor]:
    """Return what colours are multiplied by, (N, 3, 3), and what is then added, (N, 3, 1)."""
    device = p.device
    brightness = torch.randn(n, device=device) * BRIGHTNESS * _chosen(n, p)
    contrast = torch.exp2(torch.randn(n, device=device) * CONTRAST * _chosen(n, p))
    inverted = torch.rand(n, device=device).lt(0.5 * _chosen(n, p)).float()
    hue = (torch.rand(n, device=device) * 2 - 1) * math.pi * _chosen(n, p)
    saturation = torch.exp2(torch.randn(n, device=device) * SATURATION * _chosen(n, p))
    # All of them keep the axis of greys and the plane across it apart: one factor here, a turn and a factor there.
    grey = torch.full((3, 3), 1 / 3, device=device)
    plane = torch.eye(3, device=device) - grey
    across = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]], device=device) / math.sqrt(3)
    luma = contrast * (1 - 2 * inverted)
    strength = contrast * saturation
    factors = torch.stack([luma, strength * hue.cos(), strength * hue.sin()], 1)
    matrix = (factors[:, :, None, None] * torch.stack([grey, plane, across])).sum(1)
    return matrix, (brightness * luma)[:, None, None].expand(-1, 3, 1)
