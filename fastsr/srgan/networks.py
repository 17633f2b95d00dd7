"""The interface of all upscaling networks, and the generator and discriminator of SRGAN (arXiv 1609.04802)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..nn import ReflectConv2d

SCALES = (2, 4, 8)
PADDINGS = ("zeros", "reflect")
FUSIONS = ("norm", "prelu")
FINALS = ("linear", "tanh")
NORMS = ("batch", "none")
NO_NORM_GAIN = 0.1
"""The gain of the initial weights of residual branches without batch norms: it keeps the sum of many branches small."""


class Upscaler(nn.Module, ABC):
    """A convolutional network in two parts: features at the size of its input, and an image reconstructed from them.

    Inference works on the parts in tiles of different sizes: features need little memory per pixel but have a large
    receptive field, while the reconstruction needs much memory and has a small receptive field. A receptive field is
    given as a radius: the number of pixels on each side of a pixel that its result depends on.

    Attributes:
        config: the dataclass that the network was built from.
        architecture: name of the network.
        scale: side of the output over side of the input.
        channels: channels of input and output, 1 for grey and 3 for RGB.
        blocks: number of residual blocks.
        width: channels of the features.
        least_side: smallest side of an input in pixels.
        unshuffle: the factor of the pixel unshuffle in `prepare`; 1 for none.
        first: the first convolution of `features`.
        features_receptive_field: receptive field of a feature, in pixels of the prepared input.
        image_receptive_field: receptive field of a pixel of the output, in pixels of the features.
        features_activations: approximate number of activations that `features` keeps in memory at once, per pixel of
            the prepared input.
        image_activations: the same for `reconstruct`.
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
    features_receptive_field: int
    image_receptive_field: int
    features_activations: int
    image_activations: int

    @property
    def receptive_field(self) -> int:
        """The receptive field of the whole network, in pixels of the prepared input."""
        return self.features_receptive_field + self.image_receptive_field

    def prepare(self, x: Tensor) -> Tensor:
        """Map an image (N, channels, H, W) to the prepared input (N, c, h, w); the identity by default."""
        return x

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Map the prepared input (N, c, h, w) to (N, width, h, w)."""

    @abstractmethod
    def reconstruct(self, features: Tensor, x: Tensor) -> Tensor:
        """Reconstruct the output, (N, channels, m h, m w) with m = scale * unshuffle.

        Args:
            features: (N, width, h, w).
            x: the prepared input of the same pixels, (N, c, h, w).
        """

    def forward(self, x: Tensor) -> Tensor:
        """Map an image (N, channels, H, W) to (N, channels, scale H, scale W)."""
        prepared = self.prepare(x)
        image = self.reconstruct(self.features(prepared), prepared)
        return image[..., : x.shape[-2] * self.scale, : x.shape[-1] * self.scale]


@dataclass(frozen=True)
class SRResNetConfig:
    """Configuration of the generator of SRGAN.

    Attributes:
        blocks: number of residual blocks.
        width: channels between the first and the last convolution.
        scale: scale factor: 2, 4 or 8.
        padding: padding of the convolutions: "zeros" or "reflect".
        kernels: kernel sizes of the first convolution, of those between, and of the last one; odd.
        channels: 3 for RGB, 1 for grey.
        fusion: layer after the convolution that follows the blocks: "norm", as in the paper, or "prelu".
        final: activation of the output: "linear", as in the paper, or "tanh".
        norm: "batch", as in the paper, or "none"; without batch norms a network trains faster and keeps colours.
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
        """Return a convolution whose output has the height and width of its input."""
        if self.padding == "reflect":
            return ReflectConv2d(inputs, outputs, kernel)
        return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)

    def normalization(self) -> nn.Module:
        """Return the layer after a convolution of the trunk."""
        return nn.BatchNorm2d(self.width) if self.norm == "batch" else nn.Identity()


class ResidualBlock(nn.Module):
    """x + BN(conv(PReLU(BN(conv(x))))), or the same without batch norms, see `SRResNetConfig.norm`."""

    def __init__(self, config: SRResNetConfig):
        super().__init__()
        width, kernel = config.width, config.kernels[1]
        self.conv1 = config.convolution(width, width, kernel)
        self.norm1 = config.normalization()
        self.act = nn.PReLU()
        self.conv2 = config.convolution(width, width, kernel)
        if config.norm == "none":
            with torch.no_grad():
                self.conv2.weight.mul_(NO_NORM_GAIN)
        self.norm2 = config.normalization()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        return x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))


class Upsample(nn.Module):
    """A convolution to four times the channels, a pixel shuffle by 2, and PReLU."""

    def __init__(self, config: SRResNetConfig):
        super().__init__()
        self.conv = config.convolution(config.width, 4 * config.width, config.kernels[1])
        self.shuffle = nn.PixelShuffle(2)
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, width, 2 H, 2 W)."""
        return self.act(self.shuffle(self.conv(x)))


class SRResNet(Upscaler):
    """The generator of SRGAN; trained with the mean squared error alone, it is called SRResNet.

    Each PReLU has a single slope for all channels, which gives the parameter counts of the paper.
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
        self.upsampling = nn.Sequential(*[Upsample(config) for _ in range(doublings)])
        self.last = config.convolution(width, config.channels, last)
        self.final = nn.Tanh() if config.final == "tanh" else nn.Identity()

        self.scale, self.channels, self.blocks, self.width = config.scale, config.channels, config.blocks, width
        self.least_side = 1 if config.padding == "zeros" else max(config.kernels) // 2 + 1
        self.features_receptive_field = first // 2 + (2 * config.blocks + 1) * (middle // 2)
        self.image_receptive_field = receptive_field(last // 2, [middle // 2] * doublings)
        self.features_activations = 5 * width
        self.image_activations = 3 * width * config.scale**2

    def features(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, width, H, W)."""
        first = self.first_act(self.first(x))
        return first + self.fuse_norm(self.fuse(self.trunk(first)))

    def reconstruct(self, features: Tensor, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, channels, scale H, scale W); `x` is not used."""
        return self.final(self.last(self.upsampling(features)))


def receptive_field(full_size: int, doublings: list[int]) -> int:
    """Return the receptive field of a pixel of the output in the features, in pixels on each side.

    Args:
        full_size: receptive field of the convolutions at full size.
        doublings: receptive field of the convolution before each doubling of the size, from the last doubling to the
            first. That of a convolution after a doubling belongs to what follows.
    """
    field = full_size
    for convolution in doublings:
        field = -(-field // 2) + convolution
    return field


WIDTHS = (64, 64, 128, 128, 256, 256, 512, 512)
"""The output channels of the discriminator's convolutions."""
HIDDEN = 1024
"""The width of the discriminator's hidden dense layer."""
LEAKY_SLOPE = 0.2
SHRINKS = 2 ** (len(WIDTHS) // 2)
"""The factor by which the discriminator's convolutions downsample an image."""


class Discriminator(nn.Module):
    """Judges how real an image looks by a logit, which is positive for real.

    Eight 3x3 convolutions, every second one with stride 2, and two dense layers. There is no pooling: the first dense
    layer fixes the size of the images.

    Args:
        crop: side of the square images in pixels, a multiple of 16. The paper's 96 has 23,563,649 parameters.
        channels: channels of the images.

    Raises:
        ValueError: `crop` is not a multiple of 16.
    """

    def __init__(self, crop: int = 96, channels: int = 3):
        super().__init__()
        if crop < SHRINKS or crop % SHRINKS:
            raise ValueError(f"crop={crop!r} is not a multiple of {SHRINKS}")
        self.crop = crop
        layers: list[nn.Module] = []
        before = channels
        for index, width in enumerate(WIDTHS):
            layers.append(nn.Conv2d(before, width, 3, stride=1 + index % 2, padding=1, bias=index == 0))
            if index:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.LeakyReLU(LEAKY_SLOPE, inplace=True))
            before = width
        self.convolutions = nn.Sequential(*layers)
        self.judgement = nn.Sequential(
            nn.Linear(before * (crop // SHRINKS) ** 2, HIDDEN),
            nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
            nn.Linear(HIDDEN, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, channels, crop, crop) to logits (N, 1).

        Raises:
            ValueError: the images have another size.
        """
        if x.shape[-2:] != (self.crop, self.crop):
            raise ValueError(
                f"x is {x.shape[-1]}x{x.shape[-2]} pixels; this discriminator takes {self.crop}x{self.crop}"
            )
        return self.judgement(self.convolutions(x).flatten(1))
