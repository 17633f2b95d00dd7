"""Networks that came after SRResNet, without batch norm: MSRResNet (of BasicSR) and RRDBNet (of ESRGAN)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..imresize import imresize
from .network import Upscaler, reach_below

RESIDUE = 0.2
"""The part of what a dense block found that is added to its input."""


@dataclass(frozen=True)
class MSRResNetConfig:
    """Shape of an MSRResNet.

    Attributes:
        blocks: residual blocks.
        width: channels of the features.
        scale: 2, 3 or 4.
        channels: 3 for colour, 1 for grey.
    """

    blocks: int = 16
    width: int = 64
    scale: int = 4
    channels: int = 3

    def __post_init__(self) -> None:
        if self.scale not in (2, 3, 4):
            raise ValueError(f"scale={self.scale!r} is not one of 2, 3, 4")


class PlainBlock(nn.Module):
    """Convolution, ReLU, convolution, and the input added."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        return x + self.conv2(F.relu(self.conv1(x)))


class MSRResNet(Upscaler):
    """SRResNet without norms, which adds to the input enlarged bilinearly."""

    architecture = "MSRResNet"

    def __init__(self, config: MSRResNetConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.step = 3 if config.scale == 3 else 2
        steps = round(math.log(config.scale, self.step))
        self.first = nn.Conv2d(config.channels, width, 3, padding=1)
        self.trunk = nn.Sequential(*[PlainBlock(width) for _ in range(config.blocks)])
        self.upsampling = nn.ModuleList([nn.Conv2d(width, width * self.step**2, 3, padding=1) for _ in range(steps)])
        self.large = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, config.channels, 3, padding=1)

        self.scale, self.channels, self.blocks, self.width = config.scale, config.channels, config.blocks, width
        self.features_reach = 1 + 2 * config.blocks
        # Two pixels at full size, and a tripling reaches less far than a doubling does.
        self.picture_reach = reach_below(2, [1] * steps)
        self.features_floats = 4 * width
        self.picture_floats = 3 * width * config.scale**2

    def features(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, width, H, W)."""
        return self.trunk(_leaky(self.first(x), 0.1))

    def picture(self, features: Tensor, x: Tensor) -> Tensor:
        """Map features and the input to (N, channels, scale H, scale W)."""
        for convolution in self.upsampling:
            features = _leaky(F.pixel_shuffle(convolution(features), self.step), 0.1)
        large = self.last(_leaky(self.large(features), 0.1))
        # Weights of float64: those of `F.interpolate` lose digits far from the corner, so that tiles would differ.
        return large + imresize(x, self.scale, kernel="linear", border="replicate")


@dataclass(frozen=True)
class RRDBNetConfig:
    """Shape of an RRDBNet.

    Attributes:
        blocks: residual blocks, each of three dense ones.
        width: channels of the features.
        growth: channels that each convolution of a dense block adds.
        doublings: how often the size is doubled.
        channels: 3 for colour, 1 for grey.
        unshuffle: the side of the squares of pixels of which channels are made first; 1 for none.
    """

    blocks: int = 23
    width: int = 64
    growth: int = 32
    doublings: int = 2
    channels: int = 3
    unshuffle: int = 1

    def __post_init__(self) -> None:
        if self.scale < 2:
            raise ValueError(f"doublings={self.doublings} and unshuffle={self.unshuffle} do not enlarge a picture")

    @property
    def scale(self) -> int:
        """How many times larger the result is."""
        return 2**self.doublings // self.unshuffle


class DenseBlock(nn.Module):
    """Five convolutions, each of all that came before it."""

    def __init__(self, width: int, growth: int):
        super().__init__()
        for index in range(1, 6):
            outputs = width if index == 5 else growth
            self.add_module(f"conv{index}", nn.Conv2d(width + (index - 1) * growth, outputs, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        found = x
        for index in range(1, 5):
            found = torch.cat([found, _leaky(self.get_submodule(f"conv{index}")(found), 0.2)], 1)
        return x + RESIDUE * self.get_submodule("conv5")(found)


class DenseTriple(nn.Module):
    """Three dense blocks, and the input added: a "residual in residual dense block"."""

    def __init__(self, width: int, growth: int):
        super().__init__()
        for index in range(1, 4):
            self.add_module(f"rdb{index}", DenseBlock(width, growth))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        found = x
        for block in self.children():
            found = block(found)
        return x + RESIDUE * found


class RRDBNet(Upscaler):
    """The generator of ESRGAN (Wang et al., arXiv 1809.00219) and of Real-ESRGAN (arXiv 2107.10833)."""

    architecture = "RRDBNet"

    def __init__(self, config: RRDBNetConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.first = nn.Conv2d(config.channels * config.unshuffle**2, width, 3, padding=1)
        self.trunk = nn.Sequential(*[DenseTriple(width, config.growth) for _ in range(config.blocks)])
        self.fuse = nn.Conv2d(width, width, 3, padding=1)
        self.upsampling = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in range(config.doublings)])
        self.large = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, config.channels, 3, padding=1)

        self.scale, self.channels, self.blocks, self.width = config.scale, config.channels, config.blocks, width
        self.unshuffle = config.unshuffle
        self.features_reach = 2 + 15 * config.blocks
        # Each convolution of the upsampling works at the size that it is enlarged to.
        self.picture_reach = reach_below(3, [1] * (config.doublings - 1) + [0])
        self.features_floats = 4 * (width + 4 * config.growth)
        self.picture_floats = 3 * width * 4**config.doublings

    def prepare(self, x: Tensor) -> Tensor:
        """Make channels of squares of pixels; a side that is no multiple of theirs is extended by its edge."""
        square = self.unshuffle
        if square == 1:
            return x
        extended = F.pad(x, (0, -x.shape[-1] % square, 0, -x.shape[-2] % square), mode="replicate")
        return F.pixel_unshuffle(extended, square)

    def features(self, x: Tensor) -> Tensor:
        """Map (N, channels * unshuffle ** 2, h, w) to (N, width, h, w)."""
        first = self.first(x)
        return first + self.fuse(self.trunk(first))

    def picture(self, features: Tensor, x: Tensor) -> Tensor:
        """Map (N, width, h, w) to (N, channels, 2 ** doublings h, 2 ** doublings w); `x` is not used."""
        for convolution in self.upsampling:
            features = _leaky(convolution(F.interpolate(features, scale_factor=2, mode="nearest")), 0.2)
        return self.last(_leaky(self.large(features), 0.2))


def _leaky(x: Tensor, slope: float) -> Tensor:
    return F.leaky_relu(x, slope)
