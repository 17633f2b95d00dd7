"""Upscaling networks without batch norm: MSRResNet (from BasicSR) and RRDBNet (from ESRGAN)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..imresize import imresize
from .networks import Upscaler, receptive_field

RESIDUAL_SCALE = 0.2
"""The scale of residual branches, beta in the paper of ESRGAN."""


@dataclass(frozen=True)
class MSRResNetConfig:
    """Configuration of an MSRResNet.

    Attributes:
        blocks: number of residual blocks.
        width: channels of the features.
        scale: scale factor: 2, 3 or 4.
        channels: 3 for RGB, 1 for grey.
    """

    blocks: int = 16
    width: int = 64
    scale: int = 4
    channels: int = 3

    def __post_init__(self) -> None:
        if self.scale not in (2, 3, 4):
            raise ValueError(f"scale={self.scale!r} is not one of 2, 3, 4")


class ResidualBlockNoBN(nn.Module):
    """x + conv(ReLU(conv(x)))."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        return x + self.conv2(F.relu(self.conv1(x)))


class MSRResNet(Upscaler):
    """SRResNet without batch norms, which predicts the difference to the bilinearly upscaled input."""

    architecture = "MSRResNet"

    def __init__(self, config: MSRResNetConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.step = 3 if config.scale == 3 else 2
        steps = round(math.log(config.scale, self.step))
        self.first = nn.Conv2d(config.channels, width, 3, padding=1)
        self.trunk = nn.Sequential(*[ResidualBlockNoBN(width) for _ in range(config.blocks)])
        self.upsampling = nn.ModuleList([nn.Conv2d(width, width * self.step**2, 3, padding=1) for _ in range(steps)])
        self.large = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, config.channels, 3, padding=1)

        self.scale, self.channels, self.blocks, self.width = config.scale, config.channels, config.blocks, width
        self.features_receptive_field = 1 + 2 * config.blocks
        # Two convolutions work at full size. For upsampling by 3 the receptive field is smaller than for doubling.
        self.image_receptive_field = receptive_field(2, [1] * steps)
        self.features_activations = 4 * width
        self.image_activations = 3 * width * config.scale**2

    def features(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, width, H, W)."""
        return self.trunk(_leaky(self.first(x), 0.1))

    def reconstruct(self, features: Tensor, x: Tensor) -> Tensor:
        """Map features (N, width, H, W) and the input (N, channels, H, W) to (N, channels, scale H, scale W)."""
        for convolution in self.upsampling:
            features = _leaky(F.pixel_shuffle(convolution(features), self.step), 0.1)
        difference = self.last(_leaky(self.large(features), 0.1))
        # imresize has float64 weights; those of F.interpolate lose digits far from the corner, so tiles would differ.
        return difference + imresize(x, self.scale, kernel="linear", border="replicate")


@dataclass(frozen=True)
class RRDBNetConfig:
    """Configuration of an RRDBNet.

    Attributes:
        blocks: number of RRDBs, each of three dense blocks.
        width: channels of the features.
        growth: channels that each convolution of a dense block adds.
        doublings: number of upsampling steps by 2.
        channels: 3 for RGB, 1 for grey.
        unshuffle: factor of the pixel unshuffle of the input; 1 for none.
    """

    blocks: int = 23
    width: int = 64
    growth: int = 32
    doublings: int = 2
    channels: int = 3
    unshuffle: int = 1

    def __post_init__(self) -> None:
        if self.scale < 2:
            raise ValueError(f"doublings={self.doublings} and unshuffle={self.unshuffle} do not upscale an image")

    @property
    def scale(self) -> int:
        """The scale factor, 2 ** doublings / unshuffle."""
        return 2**self.doublings // self.unshuffle


class ResidualDenseBlock(nn.Module):
    """Five convolutions, each of the concatenated input and outputs of those before it, and a scaled residual."""

    def __init__(self, width: int, growth: int):
        super().__init__()
        for index in range(1, 6):
            outputs = width if index == 5 else growth
            self.add_module(f"conv{index}", nn.Conv2d(width + (index - 1) * growth, outputs, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        features = x
        for index in range(1, 5):
            features = torch.cat([features, _leaky(self.get_submodule(f"conv{index}")(features), 0.2)], 1)
        return x + RESIDUAL_SCALE * self.get_submodule("conv5")(features)


class RRDB(nn.Module):
    """A residual-in-residual dense block: three dense blocks and a scaled residual."""

    def __init__(self, width: int, growth: int):
        super().__init__()
        for index in range(1, 4):
            self.add_module(f"rdb{index}", ResidualDenseBlock(width, growth))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        features = x
        for block in self.children():
            features = block(features)
        return x + RESIDUAL_SCALE * features


class RRDBNet(Upscaler):
    """The generator of ESRGAN (Wang et al., arXiv 1809.00219) and Real-ESRGAN (arXiv 2107.10833)."""

    architecture = "RRDBNet"

    def __init__(self, config: RRDBNetConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.first = nn.Conv2d(config.channels * config.unshuffle**2, width, 3, padding=1)
        self.trunk = nn.Sequential(*[RRDB(width, config.growth) for _ in range(config.blocks)])
        self.fuse = nn.Conv2d(width, width, 3, padding=1)
        self.upsampling = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in range(config.doublings)])
        self.large = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, config.channels, 3, padding=1)

        self.scale, self.channels, self.blocks, self.width = config.scale, config.channels, config.blocks, width
        self.unshuffle = config.unshuffle
        self.features_receptive_field = 2 + 15 * config.blocks
        # Each upsampling convolution works after the doubling.
        self.image_receptive_field = receptive_field(3, [1] * (config.doublings - 1) + [0])
        self.features_activations = 4 * (width + 4 * config.growth)
        self.image_activations = 3 * width * 4**config.doublings

    def prepare(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, channels * unshuffle ** 2, h, w) by a pixel unshuffle.

        Sides that are not multiples of `unshuffle` are padded by replicating the edge.
        """
        square = self.unshuffle
        if square == 1:
            return x
        padded = F.pad(x, (0, -x.shape[-1] % square, 0, -x.shape[-2] % square), mode="replicate")
        return F.pixel_unshuffle(padded, square)

    def features(self, x: Tensor) -> Tensor:
        """Map (N, channels * unshuffle ** 2, h, w) to (N, width, h, w)."""
        first = self.first(x)
        return first + self.fuse(self.trunk(first))

    def reconstruct(self, features: Tensor, x: Tensor) -> Tensor:
        """Map (N, width, h, w) to (N, channels, 2 ** doublings h, 2 ** doublings w); `x` is not used."""
        for convolution in self.upsampling:
            features = _leaky(convolution(F.interpolate(features, scale_factor=2, mode="nearest")), 0.2)
        return self.last(_leaky(self.large(features), 0.2))


def _leaky(x: Tensor, slope: float) -> Tensor:
    return F.leaky_relu(x, slope)
