"""The U-Net of SR3 (Saharia et al., arXiv 2104.07636).

It maps the upscaled low-resolution image (the condition), a noisy high-resolution image and its noise level to what
`fastsr.sr3.schedules.PREDICTIONS` lists, such as the noise. `UNet` is the network, `UNetConfig` its shape, and
`PUBLISHED` has the two shapes with published weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import input_error
from ..nn import GroupNorm

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Maps condition and noisy image, both (N, 3, H, W), and level (N,), to (N, 3, H, W); see `UNet.forward`."""

COLOURS = 3


@dataclass(frozen=True)
class UNetConfig:
    """The shape of the network. The defaults are those of the published network for 16x16 to 128x128 pixels.

    Attributes:
        width: number of channels at full resolution.
        multipliers: the channels at each level are `width` times this: at full resolution (level 0), half (level 1),
            a quarter (level 2) and so on.
        blocks: number of residual blocks per level of the encoder; the decoder has one more.
        attention: levels at which every block is followed by self-attention; the bottleneck always has one.
        groups: number of groups of every group norm; it divides all numbers of channels.
        dropout: probability with which a feature is dropped in training.

    Raises:
        InputError: there is no network of this shape.
    """

    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 4, 8, 8)
    blocks: int = 2
    attention: tuple[int, ...] = (3,)
    groups: int = 32
    dropout: float = 0.2

    def __post_init__(self) -> None:
        for name in ("width", "blocks", "groups"):
            if getattr(self, name) < 1:
                raise input_error(name, getattr(self, name), "is not a whole number of at least 1")
        if self.width % 2:
            problem = "is odd, but half of the noise embedding are sines and half are cosines"
            raise input_error("width", self.width, problem, "give an even number")
        if not self.multipliers or min(self.multipliers) < 1:
            raise input_error("multipliers", self.multipliers, "are not whole numbers of at least 1")
        if not set(self.attention) <= set(range(len(self.multipliers))):
            raise input_error("attention", self.attention, f"are not levels from 0 to {len(self.multipliers) - 1}")
        if not 0 <= self.dropout < 1:
            raise input_error("dropout", self.dropout, "is not a probability of at least 0 and less than 1")
        for channels in (self.width, *self.channels):
            if channels % self.groups:
                raise input_error("groups", self.groups, f"does not divide the {channels} channels of a norm")

    @property
    def channels(self) -> list[int]:
        """The number of channels at each level."""
        return [self.width * multiplier for multiplier in self.multipliers]

    @property
    def multiple(self) -> int:
        """The sides of images must be multiples of this."""
        return 2 ** (len(self.multipliers) - 1)

    @property
    def activation_count(self) -> int:
        """The approximate number of activations per pixel that inference holds at once, most of them for the skips."""
        skips = sum(channels * (self.blocks + 1) / 4**level for level, channels in enumerate(self.channels))
        return math.ceil(skips + 6 * self.width * self.multipliers[0])


PUBLISHED = {
    128: UNetConfig(),
    512: UNetConfig(multipliers=(1, 2, 4, 8, 16), blocks=1, attention=(), groups=16, dropout=0.0),
}
"""The two networks with published weights, by the side of their results in pixels: 16 to 128, and 64 to 512."""


class NoiseLevelEmbedding(nn.Module):
    """The embedding of the noise level: its sines and cosines, followed by two linear layers.

    It is computed in float32 whatever the dtype of the network: the last noise levels are the same in bfloat16.
    """

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        self.first = nn.Linear(width, 4 * width)
        self.second = nn.Linear(4 * width, width)

    def forward(self, level: Tensor) -> Tensor:
        """Map sqrt(gamma), (N,), to the embedding (N, width)."""
        index = torch.arange(self.width // 2, dtype=torch.float32, device=level.device)
        angles = level[:, None].float() * torch.exp(-math.log(1e4) * index / (self.width // 2))
        return self.second(F.silu(self.first(torch.cat([angles.sin(), angles.cos()], -1))))


class ResidualBlock(nn.Module):
    """Norm, Swish and convolution, twice, with a skip connection around them.

    The projected noise embedding is added between the two.
    """

    def __init__(self, inputs: int, outputs: int, config: UNetConfig):
        super().__init__()
        self.norm1 = GroupNorm(config.groups, inputs, swish=True)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.level = nn.Linear(config.width, outputs)
        self.norm2 = GroupNorm(config.groups, outputs, swish=True)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, noise_emb: Tensor) -> Tensor:
        """Map (N, inputs, H, W), with the noise embedding (N, width), to (N, outputs, H, W)."""
        with torch.autocast(x.device.type, enabled=False):
            shift = self.level(noise_emb)
        h = self.conv1(self.norm1(x))
        return self.conv2(self.dropout(self.norm2(h, shift))) + self.skip(x)


class Attention(nn.Module):
    """Self-attention with one head over all pixels, with a skip connection."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.norm = GroupNorm(groups, channels, swish=False)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        n, c, height, width = x.shape
        qkv = self.qkv(self.norm(x)).permute(0, 2, 3, 1).reshape(n, 1, height * width, 3 * c)
        attended = F.scaled_dot_product_attention(*qkv.split(c, -1))
        return x + self.out(attended.reshape(n, height, width, c).permute(0, 3, 1, 2))


class Block(nn.Module):
    """A residual block, followed by self-attention if `attends`."""

    def __init__(self, inputs: int, outputs: int, config: UNetConfig, *, attends: bool):
        super().__init__()
        self.residual = ResidualBlock(inputs, outputs, config)
        self.attention: nn.Module = Attention(outputs, config.groups) if attends else nn.Identity()

    def forward(self, x: Tensor, noise_emb: Tensor) -> Tensor:
        """Map (N, inputs, H, W), with the noise embedding (N, width), to (N, outputs, H, W)."""
        return self.attention(self.residual(x, noise_emb))


class Downsample(nn.Module):
    """A convolution with stride 2."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, noise_emb: Tensor) -> Tensor:
        """Map (N, C, 2 H, 2 W) to (N, C, H, W)."""
        return self.conv(x)


class Upsample(nn.Module):
    """Nearest-neighbour upsampling by 2, followed by a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, noise_emb: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, 2 H, 2 W)."""
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class UNet(nn.Module):
    """The U-Net. Its last convolution is initialised with zeros, so that an untrained network outputs 0."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        width, last_level = config.width, len(config.multipliers) - 1
        self.level = NoiseLevelEmbedding(width)
        self.first = nn.Conv2d(2 * COLOURS, width, 3, padding=1)

        inputs, skips = width, [width]  # the channels of the features so far, and of the skip connections
        downs: list[nn.Module] = []
        for level, channels in enumerate(config.channels):
            for _ in range(config.blocks):
                downs.append(Block(inputs, channels, config, attends=level in config.attention))
                inputs = channels
                skips.append(inputs)
            if level < last_level:
                downs.append(Downsample(inputs))
                skips.append(inputs)
        self.downs = nn.ModuleList(downs)

        self.mid = nn.ModuleList([Block(inputs, inputs, config, attends=attends) for attends in (True, False)])

        ups: list[nn.Module] = []
        for level, channels in reversed(list(enumerate(config.channels))):
            for _ in range(config.blocks + 1):
                ups.append(Block(inputs + skips.pop(), channels, config, attends=level in config.attention))
                inputs = channels
            if level > 0:
                ups.append(Upsample(inputs))
        self.ups = nn.ModuleList(ups)

        self.norm = GroupNorm(config.groups, inputs, swish=True)
        self.last = nn.Conv2d(inputs, COLOURS, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        if self.last.bias is not None:
            nn.init.zeros_(self.last.bias)

    def forward(self, condition: Tensor, noisy: Tensor, level: Tensor) -> Tensor:
        """Predict the noise of noisy images, or v or x0, whichever the network was trained for.

        Args:
            condition: low-resolution images, upscaled to the size of the result, (N, 3, H, W) in [-1, 1]; H and W are
                multiples of ``config.multiple``.
            noisy: sqrt(gamma) x0 + sqrt(1 - gamma) n, (N, 3, H, W), with x0 in [-1, 1].
            level: sqrt(gamma), (N,), float32.

        Returns:
            The prediction, (N, 3, H, W), in the dtype of the last convolution.
        """
        with torch.autocast(level.device.type, enabled=False):
            noise_emb = self.level(level)
        x = self.first(torch.cat([condition, noisy], 1)).to(self._dtype)
        skips = [x]
        for layer in self.downs:
            x = layer(x, noise_emb)
            skips.append(x)
        for layer in self.mid:
            x = layer(x, noise_emb)
        for layer in self.ups:
            if isinstance(layer, Block):
                x = torch.cat([x, skips.pop()], 1)
            x = layer(x, noise_emb)
        return self.last(self.norm(x))

    def lower(self, dtype: torch.dtype) -> UNet:
        """Compute in `dtype` from here on, and return the network itself.

        The noise embedding, the norms and the first convolution stay in float32.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module is not self.first:
                module.to(dtype)
        return self

    @property
    def _dtype(self) -> torch.dtype:
        return self.last.weight.dtype


def attention_levels(sides: Sequence[int], image_side: int, levels: int) -> tuple[int, ...]:
    """Return the levels at which the features have one of `sides`, as `UNetConfig.attention` lists them.

    Args:
        sides: sides of the features with self-attention, in pixels.
        image_side: side of the images, in pixels.
        levels: number of levels of the network.

    Raises:
        InputError: the features have one of `sides` at no level.
    """
    level_of = {image_side // 2**level: level for level in range(levels)}
    for side in sides:
        if side not in level_of:
            problem = f"is not the side of any features; they have {', '.join(map(str, level_of))}"
            raise input_error("attention", side, problem)
    return tuple(sorted(level_of[side] for side in sides))
