"""The discriminator in StyleGAN's training: residual, as in StyleGAN 2 (Karras et al., arXiv 1912.04958)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastsr_kernels.upsample_blur import blur_downsample

from .layers import EqualisedConv2d, EqualisedLinear
from .synthesis import COLOURS, START

SLOPE = 0.2
GROUP = 4
"""The most pictures that `spread` compares."""
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
    """Says by one number how real a picture looks: a logit, positive for real.

    Args:
        channels: at each side, from 4 on to that of the pictures, as those of the generator.
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
        """Map pictures (N, 3, side, side) in [-1, 1] to logits (N, 1)."""
        x = self.blocks(self.colours(x))
        x = self.last(torch.cat([x, spread(x)], 1))
        return self.judgement(F.leaky_relu(self.dense(x.flatten(1)), SLOPE))


def spread(x: Tensor) -> Tensor:
    """Return how much pictures differ (Karras et al., arXiv 1710.10196): fakes that are all alike are told by it.

    The pictures are taken in groups of 4, or of as many as there can be groups of. For each group it is the mean over
    all features of their standard deviation.

    Args:
        x: features, (N, C, H, W).

    Returns:
        (N, 1, H, W).
    """
    groups = x.unflatten(0, (math.gcd(len(x), GROUP), -1)).float()
    deviation = (groups.var(0, correction=0) + EPS).sqrt().mean((1, 2, 3))
    return deviation.to(x.dtype).repeat(len(groups))[:, None, None, None].expand(-1, 1, *x.shape[2:])
