"""The U-Net of SR3 (Saharia et al., arXiv 2104.07636): what a noisy picture and a blurred one say of the noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..nn import GroupNorm

COLOURS = 3


@dataclass(frozen=True)
class UNetConfig:
    """Shape of the network; the defaults are those of the published network for 16x16 to 128x128.

    Attributes:
        width: channels at full size.
        multipliers: of the width, at full size, at half, at a quarter and so on.
        blocks: residual blocks a size on the way down; there is one more on the way up.
        attention: sizes at which every block is followed by attention, 0 for full size, 1 for half, and so on; beside
            them there is always one in the middle.
        groups: of the norms, which divide all numbers of channels.
        dropout: the part of the features that a block leaves out in training.
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
                raise ValueError(f"{name}={getattr(self, name)!r} is not a whole number of at least 1")
        if self.width % 2:
            raise ValueError(f"width={self.width} is odd; half of it are sines of the noise level, half cosines")
        if not self.multipliers or min(self.multipliers) < 1:
            raise ValueError(f"multipliers={self.multipliers!r} are not whole numbers of at least 1")
        if not set(self.attention) <= set(range(len(self.multipliers))):
            raise ValueError(f"attention={self.attention!r} are not sizes from 0 to {len(self.multipliers) - 1}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout!r} is not a part of at least 0 and less than 1")
        for channels in (self.width, *self.channels):
            if channels % self.groups:
                raise ValueError(f"groups={self.groups} do not divide the {channels} channels of a norm")

    @property
    def channels(self) -> list[int]:
        """At each size."""
        return [self.width * multiplier for multiplier in self.multipliers]

    @property
    def multiple(self) -> int:
        """What the sides of pictures are multiples of."""
        return 2 ** (len(self.multipliers) - 1)

    @property
    def floats(self) -> int:
        """Numbers that the network holds at once for each pixel of a picture, about: features kept for the way up."""
        kept = sum(channels * (self.blocks + 1) / 4**size for size, channels in enumerate(self.channels))
        return math.ceil(kept + 6 * self.width * self.multipliers[0])


PUBLISHED = {
    128: UNetConfig(),
    512: UNetConfig(multipliers=(1, 2, 4, 8, 16), blocks=1, attention=(), groups=16, dropout=0.0),
}
"""The two networks with published weights, by the side of their pictures: 16 to 128, and 64 to 512."""


class NoiseLevel(nn.Module):
    """What the blocks are told of the noise: sines and cosines of its level, through two linear layers.

    It is float32 whatever the rest is: bfloat16 has not the digits to tell the last, small levels apart.
    """

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        self.first = nn.Linear(width, 4 * width)
        self.second = nn.Linear(4 * width, width)

    def forward(self, level: Tensor) -> Tensor:
        """Map sqrt(gamma), (N,), to (N, width)."""
        places = torch.arange(self.width // 2, dtype=torch.float32, device=level.device)
        angles = level[:, None].float() * torch.exp(-math.log(1e4) * places / (self.width // 2))
        return self.second(F.silu(self.first(torch.cat([angles.sin(), angles.cos()], -1))))


class ResidualBlock(nn.Module):
    """Twice norm, Swish and convolution, the noise level added between them, and the input added at the end."""

    def __init__(self, inputs: int, outputs: int, config: UNetConfig):
        super().__init__()
        self.norm1 = GroupNorm(config.groups, inputs, swish=True)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.level = nn.Linear(config.width, outputs)
        self.norm2 = GroupNorm(config.groups, outputs, swish=True)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """Map (N, inputs, H, W), with the noise level (N, width), to (N, outputs, H, W)."""
        with torch.autocast(x.device.type, enabled=False):
            shift = self.level(level)
        h = self.conv1(self.norm1(x))
        return self.conv2(self.dropout(self.norm2(h, shift))) + self.skip(x)


class Attention(nn.Module):
    """Self-attention with one head over all pixels, and the input added."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.norm = GroupNorm(groups, channels, swish=False)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        n, c, height, width = x.shape
        qkv = self.qkv(self.norm(x)).permute(0, 2, 3, 1).reshape(n, 1, height * width, 3 * c)
        seen = F.scaled_dot_product_attention(*qkv.split(c, -1))
        return x + self.out(seen.reshape(n, height, width, c).permute(0, 3, 1, 2))


class Block(nn.Module):
    """A residual block, and attention where there is one."""

    def __init__(self, inputs: int, outputs: int, config: UNetConfig, *, attends: bool):
        super().__init__()
        self.residual = ResidualBlock(inputs, outputs, config)
        self.attention: nn.Module = Attention(outputs, config.groups) if attends else nn.Identity()

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """Map (N, inputs, H, W), with the noise level (N, width), to (N, outputs, H, W)."""
        return self.attention(self.residual(x, level))


class Halving(nn.Module):
    """A convolution with stride 2."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """Map (N, C, 2 H, 2 W) to (N, C, H, W)."""
        return self.conv(x)


class Doubling(nn.Module):
    """Every pixel becomes four, and a convolution follows."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, 2 H, 2 W)."""
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class UNet(nn.Module):
    """The network; its last convolution begins with zeros, so that at first it says 0 of everything."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        width, last = config.width, len(config.multipliers) - 1
        self.level = NoiseLevel(width)
        self.first = nn.Conv2d(2 * COLOURS, width, 3, padding=1)

        at, kept = width, [width]
        downs: list[nn.Module] = []
        for size, channels in enumerate(config.channels):
            for _ in range(config.blocks):
                downs.append(Block(at, channels, config, attends=size in config.attention))
                at = channels
                kept.append(at)
            if size < last:
                downs.append(Halving(at))
                kept.append(at)
        self.downs = nn.ModuleList(downs)

        self.mid = nn.ModuleList([Block(at, at, config, attends=attends) for attends in (True, False)])

        ups: list[nn.Module] = []
        for size, channels in reversed(list(enumerate(config.channels))):
            for _ in range(config.blocks + 1):
                ups.append(Block(at + kept.pop(), channels, config, attends=size in config.attention))
                at = channels
            if size > 0:
                ups.append(Doubling(at))
        self.ups = nn.ModuleList(ups)

        self.norm = GroupNorm(config.groups, at, swish=True)
        self.last = nn.Conv2d(at, COLOURS, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        if self.last.bias is not None:
            nn.init.zeros_(self.last.bias)

    def forward(self, condition: Tensor, noisy: Tensor, level: Tensor) -> Tensor:
        """Return what the network says of noisy pictures.

        Args:
            condition: the pictures known, enlarged to their new size, (N, 3, H, W) in [-1, 1]; H and W are multiples
                of ``config.multiple``.
            noisy: sqrt(gamma) x0 + sqrt(1 - gamma) n, (N, 3, H, W).
            level: sqrt(gamma), (N,), float32.

        Returns:
            (N, 3, H, W): the noise n, or what else the network was trained to say.
        """
        with torch.autocast(level.device.type, enabled=False):
            told = self.level(level)
        x = self.first(torch.cat([condition, noisy], 1)).to(self._dtype)
        kept = [x]
        for layer in self.downs:
            x = layer(x, told)
            kept.append(x)
        for layer in self.mid:
            x = layer(x, told)
        for layer in self.ups:
            if isinstance(layer, Block):
                x = torch.cat([x, kept.pop()], 1)
            x = layer(x, told)
        return self.last(self.norm(x))

    def lower(self, dtype: torch.dtype) -> UNet:
        """Compute in `dtype` from here on, but for the noise level, the norms and the first convolution."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module is not self.first:
                module.to(dtype)
        return self

    @property
    def _dtype(self) -> torch.dtype:
        return self.last.weight.dtype


def levels_of(sides: Sequence[int], side: int, count: int) -> tuple[int, ...]:
    """Return the sizes, as `UNetConfig.attention` has them, at which features of pictures of `side` have `sides`.

    Raises:
        ValueError: at none of the `count` sizes they have one of them.
    """
    found = {side // 2**size: size for size in range(count)}
    odd = [one for one in sides if one not in found]
    if odd:
        raise ValueError(f"attention={odd[0]} is the side of no features; they have {', '.join(map(str, found))}")
    return tuple(sorted(found[one] for one in sides))
