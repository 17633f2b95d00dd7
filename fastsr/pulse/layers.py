"""Layers with equalised learning rate (Karras et al., arXiv 1710.10196).

Weights are stored with a deviation of about 1, and are multiplied by He's factor when they are used: steps of an
optimiser that makes all equally long then change all layers equally much.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GAIN = math.sqrt(2)
"""He's, for layers that a LeakyReLU follows."""


class EqualisedLinear(nn.Module):
    """A linear layer.

    Args:
        inputs: numbers in.
        outputs: numbers out.
        gain: deviation of what comes out at first, for inputs with a deviation of 1.
        multiplier: of the learning rate; weights and bias are stored larger by its inverse.
    """

    def __init__(self, inputs: int, outputs: int, gain: float = GAIN, multiplier: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / multiplier)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale, self.multiplier = gain / math.sqrt(inputs) * multiplier, multiplier

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs) to (N, outputs)."""
        return F.linear(x, self.weight * self.scale, self.bias * self.multiplier)

    def plain(self) -> nn.Linear:
        """Return an ordinary layer that does the same, for inference."""
        layer = nn.Linear(self.weight.shape[1], self.weight.shape[0], device="meta")
        layer.weight = nn.Parameter(self.weight * self.scale, requires_grad=False)
        layer.bias = nn.Parameter(self.bias * self.multiplier, requires_grad=False)
        return layer


class EqualisedConv2d(nn.Module):
    """A convolution with a square kernel of odd side and zero padding, without bias.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: its side.
        gain: see `EqualisedLinear`.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, gain: float = GAIN):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.scale = gain / math.sqrt(inputs * kernel**2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        return F.conv2d(x, self.kernel(), padding=self.weight.shape[-1] // 2)

    def kernel(self) -> Tensor:
        """Return the weights as they are used."""
        return self.weight * self.scale

    def plain(self) -> nn.Conv2d | nn.ConvTranspose2d:
        """Return an ordinary convolution that does the same, for inference."""
        outputs, inputs, side = self.weight.shape[:3]
        layer = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False, device="meta")
        layer.weight = nn.Parameter(self.kernel(), requires_grad=False)
        return layer


class EqualisedUpConv2d(EqualisedConv2d):
    """Every pixel becomes four, and a convolution with a kernel of 3 follows.

    Both are one transposed convolution with a kernel of 4 and stride 2, with 16 multiplications where there would be
    36: each of its weights is the sum of those that meet the same pixel.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, 2 H, 2 W)."""
        return F.conv_transpose2d(x, self.kernel(), stride=2, padding=1)

    def kernel(self) -> Tensor:
        """Return the weights of the transposed convolution, (inputs, outputs, 4, 4)."""
        # A transposed convolution applies its kernel mirrored.
        w = F.pad((self.weight * self.scale).flip(2, 3), (1, 1, 1, 1))
        w = w[:, :, 1:, 1:] + w[:, :, :-1, 1:] + w[:, :, 1:, :-1] + w[:, :, :-1, :-1]
        return w.transpose(0, 1)

    def plain(self) -> nn.ConvTranspose2d:
        """Return an ordinary transposed convolution that does the same, for inference."""
        outputs, inputs = self.weight.shape[:2]
        layer = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False, device="meta")
        layer.weight = nn.Parameter(self.kernel().contiguous(), requires_grad=False)
        return layer
