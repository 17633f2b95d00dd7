"""Networks that enlarge: what all of them have, and the generator of SRGAN (Ledig et al., arXiv 1609.04802)."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..nn import ReflectConv2d

SCALES = (2, 4, 8)
PADDINGS = ("zeros", "reflect")
FUSIONS = ("norm", "prelu")
NORMS = ("batch", "none")
UNNORMED_BRANCH = 0.1
"""Scale of the first weights of a residual branch without batch norms, which keeps the sum of many branches small."""
FINALS = ("linear", "tanh")


class Upscaler(nn.Module, ABC):
    """A convolutional network in two parts: features at the size of its input, and a picture made of them.

    The parts are worked on in tiles of their own, for features need little memory and see far, and the picture needs
    much and sees little.

    Attributes:
        config: a dataclass from which a network of the same shape can be made.
        architecture: what the network is called.
        scale: how many times larger the result is than the picture that comes in.
        channels: of the picture that comes in, and of the result.
        blocks: residual blocks.
        width: channels of the features.
        least_side: the fewest pixels a side of the picture may have.
        unshuffle: the side of the squares of pixels of which `prepare` makes channels; 1 where it does not.
        first: the convolution that the prepared input goes through first.
        features_reach: pixels of the prepared input, in each direction, that a feature depends on.
        picture_reach: pixels of the features, in each direction, that a pixel of the result depends on.
        features_floats: numbers that `features` holds at once for each pixel of the prepared input, about.
        picture_floats: likewise those of `picture`.
    """

    config: Any
    architecture: str
    scale: int
    channels: int
    blocks: int
    width: int
    least_side: int = 1
    unshuffle: int = 1
    first: nn.Module
    features_reach: int
    picture_reach: int
    features_floats: int
    picture_floats: int

    def prepare(self, x: Tensor) -> Tensor:
        """Return what the network works on, (N, c, h, w), of a picture (N, channels, H, W)."""
        return x

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Map the prepared input (N, c, h, w) to (N, width, h, w)."""

    @abstractmethod
    def picture(self, features: Tensor, x: Tensor) -> Tensor:
        """Map features and the prepared input at the same place to (N, channels, m h, m w), m = scale * unshuffle."""

    def forward(self, x: Tensor) -> Tensor:
        """Map a picture (N, channels, H, W) to (N, channels, scale H, scale W)."""
        prepared = self.prepare(x)
        large = self.picture(self.features(prepared), prepared)
        return large[..., : x.shape[-2] * self.scale, : x.shape[-1] * self.scale]


@dataclass(frozen=True)
class SRResNetConfig:
    """Shape of the generator.

    Attributes:
        blocks: residual blocks.
        width: channels between the first and the last convolution.
        scale: 2, 4 or 8.
        padding: "zeros" or "reflect".
        kernels: sides of the kernels of the first convolution, of those between and of the last one, odd.
        channels: 3 for colour, 1 for grey.
        fusion: what follows the convolution after the blocks: "norm", as in the paper, or "prelu".
        final: what follows the last convolution: "linear" for nothing, as in the paper, or "tanh".
        norm: "batch", as in the paper, or "none": without batch norms a network trains faster and keeps colours.
    """

    blocks: int = 16
    width: int = 64
    scale: int = 4
    padding: str = "zeros"
    kernels: tuple[int, int, int] = (9, 3, 9)
    channels: int = 3
    fusion: str = "norm"
    final: str = "linear"
    norm: str = "batch"

    def __post_init__(self) -> None:
        for name, values in (
            ("scale", SCALES),
            ("padding", PADDINGS),
            ("fusion", FUSIONS),
            ("final", FINALS),
            ("norm", NORMS),
        ):
            if getattr(self, name) not in values:
                raise ValueError(f"{name}={getattr(self, name)!r} is not one of {', '.join(map(repr, values))}")
        for name in ("blocks", "width", "channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r} is not a whole number of at least 1")
        if len(self.kernels) != 3 or any(side < 1 or side % 2 == 0 for side in self.kernels):
            raise ValueError(f"kernels={self.kernels!r} are not three odd numbers")

    def convolution(self, inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
        """Return a convolution that keeps the size of what it gets."""
        if self.padding == "reflect":
            return ReflectConv2d(inputs, outputs, kernel)
        return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)

    def normalization(self) -> nn.Module:
        """Return what follows a convolution of the trunk."""
        return nn.BatchNorm2d(self.width) if self.norm == "batch" else nn.Identity()


class ResidualBlock(nn.Module):
    """Convolution, batch norm, PReLU, convolution, batch norm, and the input added; see `SRResNetConfig.norm`."""

    def __init__(self, config: SRResNetConfig):
        super().__init__()
        width, kernel = config.width, config.kernels[1]
        self.conv1 = config.convolution(width, width, kernel)
        self.norm1 = config.normalization()
        self.act = nn.PReLU()
        self.conv2 = config.convolution(width, width, kernel)
        if config.norm == "none":
            with torch.no_grad():
                self.conv2.weight.mul_(UNNORMED_BRANCH)
        self.norm2 = config.normalization()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        return x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))


class Doubling(nn.Module):
    """Convolution to four times the channels, which become 2x2 pixels, and PReLU."""

    def __init__(self, config: SRResNetConfig):
        super().__init__()
        self.conv = config.convolution(config.width, 4 * config.width, config.kernels[1])
        self.shuffle = nn.PixelShuffle(2)
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, width, 2 H, 2 W)."""
        return self.act(self.shuffle(self.conv(x)))


class SRResNet(Upscaler):
    """The generator of SRGAN, which trained by the mean squared error alone is called SRResNet.

    Every PReLU has one slope for all channels: so the paper's counts of parameters come out.
    """

    architecture = "SRResNet"

    def __init__(self, config: SRResNetConfig):
        super().__init__()
        self.config = config
        width, (first, middle, last) = config.width, config.kernels
        self.first = config.convolution(config.channels, width, first)
        self.first_act = nn.PReLU()
        self.trunk = nn.Sequential(*[ResidualBlock(config) for _ in range(config.blocks)])
        self.fuse = config.convolution(width, width, middle)
        self.fuse_norm: nn.Module = config.normalization() if config.fusion == "norm" else nn.PReLU()
        doublings = round(math.log2(config.scale))
        self.upsampling = nn.Sequential(*[Doubling(config) for _ in range(doublings)])
        self.last = config.convolution(width, config.channels, last)
        self.final = nn.Tanh() if config.final == "tanh" else nn.Identity()

        self.scale, self.channels, self.blocks, self.width = config.scale, config.channels, config.blocks, width
        self.least_side = 1 if config.padding == "zeros" else max(config.kernels) // 2 + 1
        self.features_reach = first // 2 + (2 * config.blocks + 1) * (middle // 2)
        self.picture_reach = reach_below(last // 2, [middle // 2] * doublings)
        self.features_floats = 5 * width
        self.picture_floats = 3 * width * config.scale**2

    def features(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, width, H, W)."""
        first = self.first_act(self.first(x))
        return first + self.fuse_norm(self.fuse(self.trunk(first)))

    def picture(self, features: Tensor, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, channels, scale H, scale W); `x` is not used."""
        return self.final(self.last(self.upsampling(features)))


def reach_below(large: int, doublings: list[int]) -> int:
    """Return how far, in pixels, a pixel of the result sees in the features.

    Args:
        large: reach of the convolutions at full size.
        doublings: reach of the convolution before each doubling of the size, or after it and then added to what
            follows.
    """
    reach = large
    for convolution in doublings:
        reach = -(-reach // 2) + convolution
    return reach


def fold_batch_norm(network: SRResNet) -> SRResNet:
    """Return a copy of `network`, for inference alone, whose batch norms are part of the convolutions before them.

    The norms use the statistics of training, as `eval()` has them; the function is the same but for rounding.
    """
    folded = copy.deepcopy(network).eval()
    for block in folded.trunk:
        assert isinstance(block, ResidualBlock)
        block.conv1, block.norm1 = _fold(block.conv1, block.norm1)
        block.conv2, block.norm2 = _fold(block.conv2, block.norm2)
    folded.fuse, folded.fuse_norm = _fold(folded.fuse, folded.fuse_norm)
    return folded


def _fold(convolution: nn.Conv2d, norm: nn.Module) -> tuple[nn.Conv2d, nn.Module]:
    if not isinstance(norm, nn.BatchNorm2d):
        return convolution, norm
    return fuse_conv_bn_eval(convolution, norm), nn.Identity()
