"""The hourglass ("skip") network of Deep Image Prior (Ulyanov et al., CVPR 2018, arXiv 1711.10925)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastsr_kernels.norm_act_pad import norm_act_pad
from fastsr_kernels.reflect_pad import reflect_pad
from fastsr_kernels.upsample_norm_pad import upsample_norm_pad

from ..errors import InputError
from ..nn import ReflectConv2d

LEAKY_SLOPE = 0.2
UPSAMPLINGS = ("bilinear", "nearest")
DOWN_KERNELS = (3, 5, 7, 9)


@dataclass(frozen=True)
class HourglassConfig:
    """Shape of the hourglass network.

    Attributes:
        channels: width of the main branch at every scale, finest first; its length is the number of scales.
        skip_channels: width of the skip branch, the same at every scale; 0 for none.
        input_channels: depth of the input.
        output_channels: 3 for colour, 1 for grey.
        upsampling: "bilinear" or "nearest".
        down_kernel: side of the kernels on the way down, odd; those on the way up are 3x3.
        mix: whether each scale ends with a 1x1 convolution.
    """

    channels: tuple[int, ...] = (128, 128, 128, 128, 128)
    skip_channels: int = 4
    input_channels: int = 32
    output_channels: int = 3
    upsampling: str = "bilinear"
    down_kernel: int = 3
    mix: bool = True

    def __post_init__(self) -> None:
        """Raise `InputError` for what cannot be built."""
        right: dict[str, tuple[bool, str]] = {
            "channels": (len(self.channels) > 0 and min(self.channels) > 0, "a width of at least 1 for each scale"),
            "skip_channels": (self.skip_channels >= 0, "at least 0"),
            "upsampling": (self.upsampling in UPSAMPLINGS, " or ".join(map(repr, UPSAMPLINGS))),
            "down_kernel": (self.down_kernel in DOWN_KERNELS, f"one of {DOWN_KERNELS}"),
        }
        for name, (fits, wanted) in right.items():
            if not fits:
                raise InputError(f"{name}={getattr(self, name)!r} of a HourglassConfig cannot be used; give {wanted}")

    @property
    def border(self) -> int:
        """Pixels that the kernels on the way down reach beyond a picture's edge."""
        return self.down_kernel // 2

    def padded(self, side: int) -> int:
        """Return the side at which the network works: halved exactly at every scale.

        The last scale has more pixels than `border`, the least that reflection padding takes.
        """
        multiple = 2 ** len(self.channels)
        return max(self.border + 1, -(-side // multiple)) * multiple


class ConvNormAct(nn.Module):
    """Convolution, batch norm, LeakyReLU: the only layer the network is made of.

    It takes its input with the reflected border that the kernel needs, and writes its result with that which the next
    layer needs. The paper's convolutions have a bias too; the norm subtracts it again, and it is left out.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__()
        self.conv = ReflectConv2d(inputs, outputs, kernel, stride, padding=0, bias=False)
        self.norm = nn.BatchNorm2d(outputs, track_running_stats=False)

    def forward(self, x: Tensor, pad: int) -> Tensor:
        """Map (N, inputs, H, W), its border included, to (N, outputs, h + 2 pad, w + 2 pad)."""
        return norm_act_pad(self.conv(x), self.norm.weight, self.norm.bias, LEAKY_SLOPE, pad)


class Scale(nn.Module):
    """One scale of the hourglass: a 1x1 skip beside a strided branch that holds the next, coarser scale."""

    def __init__(self, config: HourglassConfig, level: int, inputs: int):
        super().__init__()
        self.config = config
        width, kernel = config.channels[level], config.down_kernel
        deepest = level + 1 == len(config.channels)
        below = width if deepest else config.channels[level + 1]
        both = config.skip_channels + below
        self.skip = ConvNormAct(inputs, config.skip_channels, 1) if config.skip_channels else None
        self.down = nn.ModuleList([ConvNormAct(inputs, width, kernel, stride=2), ConvNormAct(width, width, kernel)])
        self.deeper = None if deepest else Scale(config, level + 1, width)
        self.norm = nn.BatchNorm2d(both, track_running_stats=False)
        self.up = nn.ModuleList([ConvNormAct(both, width, 3)])
        if config.mix:
            self.up.append(ConvNormAct(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) with a border of `config.border` to (N, width, H, W); H, W are even at every scale."""
        border = self.config.border
        deep = self.down[0](x, pad=border)
        deep = self.down[1](deep, pad=0) if self.deeper is None else self.deeper(self.down[1](deep, pad=border))
        x = self.meet(self.skipped(x), deep)
        for layer in self.up:
            x = layer(x, pad=0)
        return x

    def skipped(self, x: Tensor) -> Tensor | None:
        """Return the skip branch of (N, inputs, H, W) with its border, without one: its kernel of one pixel needs none.

        The input without border would be a copy, the convolution's result without it is none.
        """
        if self.skip is None:
            return None
        border = self.config.border
        skip = self.skip.conv(x)[:, :, border:-border, border:-border]
        return norm_act_pad(skip, self.skip.norm.weight, self.skip.norm.bias, LEAKY_SLOPE, 0)

    def meet(self, skip: Tensor | None, deep: Tensor) -> Tensor:
        """Return the norm of `skip` (N, S, H, W) beside `deep` (N, D, H / 2, W / 2) enlarged, with a border of 1."""
        upsampling = self.config.upsampling
        if skip is not None and upsampling == "bilinear":
            return upsample_norm_pad(skip, deep, self.norm.weight, self.norm.bias, pad=1)
        large = F.interpolate(deep, scale_factor=2, mode=upsampling)
        both = large if skip is None else torch.cat([skip, large], 1)
        return norm_act_pad(both, self.norm.weight, self.norm.bias, slope=1.0, pad=1)


class Hourglass(nn.Module):
    """Maps noise (N, input_channels, H, W) to a picture (N, output_channels, H, W) in (0, 1), of any size from 2x2.

    The input is extended by reflection at the right and the bottom to the size that the scales need, and the
    output cropped. Batch norm always uses the statistics of the current picture, also for the final output,
    as in the paper. Norms compute in float32 whatever the dtype of the activations, and keep float32 parameters.
    """

    def __init__(self, config: HourglassConfig):
        super().__init__()
        self.config = config
        self.body = Scale(config, 0, config.input_channels)
        self.head = ReflectConv2d(config.channels[0], config.output_channels, 1, bias=False)
        self.shift = nn.Parameter(torch.empty(config.output_channels).uniform_(-1, 1) / config.channels[0] ** 0.5)

    def forward(self, z: Tensor) -> Tensor:
        """Map noise (N, input_channels, H, W) to a picture (N, output_channels, H, W)."""
        height, width = z.shape[-2:]
        for axis, side in ((-2, height), (-1, width)):
            z = reflect_to(z, axis, self.config.padded(side))
        picture = self.head(self.body(reflect_pad(z, (self.config.border,) * 2)))[..., :height, :width]
        return torch.sigmoid(picture + self.shift[:, None, None])  # in float32, the dtype of the shift


def reflect_to(x: Tensor, axis: int, size: int) -> Tensor:
    """Extend one axis of `x` at its end to `size` by reflection, as often as that takes."""
    side = x.shape[axis]
    if side == size:
        return x
    period = 2 * (side - 1)
    index = torch.arange(size, device=x.device) % period
    return x.index_select(axis, torch.minimum(index, period - index))
