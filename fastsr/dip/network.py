"""The hourglass ("skip") network of Deep Image Prior (Ulyanov et al., CVPR 2018, arXiv 1711.10925)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAKY_SLOPE = 0.2


@dataclass(frozen=True)
class HourglassConfig:
    """Shape of the hourglass network.

    Attributes:
        channels: width of the main branch at every scale, finest first; its length is the number of scales.
        skip_channels: width of the skip branch, the same at every scale.
        input_channels: depth of the input noise.
        output_channels: 3 for colour, 1 for grey.
        upsampling: "bilinear" or "nearest".
    """

    channels: tuple[int, ...] = (128, 128, 128, 128, 128)
    skip_channels: int = 4
    input_channels: int = 32
    output_channels: int = 3
    upsampling: str = "bilinear"

    def padded(self, side: int) -> int:
        """Return the side at which the network works: halved exactly at every scale, and at least 2 at the last.

        Two pixels are the least that a 3x3 convolution with reflection padding takes.
        """
        multiple = 2 ** len(self.channels)
        return max(2, -(-side // multiple)) * multiple


class ConvNormAct(nn.Sequential):
    """Convolution with reflection padding, batch norm, LeakyReLU: the only layer the network is made of."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, padding_mode="reflect"),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
        )


class Scale(nn.Module):
    """One scale of the hourglass: a 1x1 skip beside a strided branch that holds the next, coarser scale."""

    def __init__(self, config: HourglassConfig, level: int, inputs: int):
        super().__init__()
        width = config.channels[level]
        deepest = level + 1 == len(config.channels)
        below = width if deepest else config.channels[level + 1]
        self.upsampling = config.upsampling
        self.skip = ConvNormAct(inputs, config.skip_channels, 1)
        self.down = nn.Sequential(ConvNormAct(inputs, width, 3, stride=2), ConvNormAct(width, width, 3))
        self.deeper = nn.Identity() if deepest else Scale(config, level + 1, width)
        self.norm = nn.BatchNorm2d(config.skip_channels + below)
        self.up = nn.Sequential(ConvNormAct(config.skip_channels + below, width, 3), ConvNormAct(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, width, H, W); H and W are even at every scale below."""
        skip = self.skip(x)
        deep = F.interpolate(self.deeper(self.down(x)), scale_factor=2, mode=self.upsampling)
        return self.up(self.norm(torch.cat([skip, deep], 1)))


class Hourglass(nn.Module):
    """Maps noise (N, input_channels, H, W) to a picture (N, output_channels, H, W) in (0, 1), of any size from 2x2.

    The input is extended by reflection at the right and the bottom to the size that the scales need, and the
    output cropped. Batch norm always uses the statistics of the current picture, also for the final output,
    as in the paper.
    """

    def __init__(self, config: HourglassConfig):
        super().__init__()
        self.config = config
        self.body = Scale(config, 0, config.input_channels)
        self.head = nn.Conv2d(config.channels[0], config.output_channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        """Map noise (N, input_channels, H, W) to a picture (N, output_channels, H, W)."""
        height, width = z.shape[-2:]
        for axis, side in ((-2, height), (-1, width)):
            z = reflect_to(z, axis, self.config.padded(side))
        return torch.sigmoid(self.head(self.body(z)))[..., :height, :width]


def reflect_to(x: Tensor, axis: int, size: int) -> Tensor:
    """Extend one axis of `x` at its end to `size` by reflection, as often as that takes."""
    side = x.shape[axis]
    if side == size:
        return x
    period = 2 * (side - 1)
    index = torch.arange(size, device=x.device) % period
    return x.index_select(axis, torch.minimum(index, period - index))
