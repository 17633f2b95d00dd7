"""Deep Image Prior as one writes it in plain PyTorch: what the library's steps are timed against."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastsr.consistency import Downscale
from fastsr.dip.fit import INPUT_RANGE
from fastsr.dip.network import LEAKY_SLOPE, HourglassConfig
from fastsr.dip.recipes import Recipe

OURS = "fastsr"
EAGER = "straightforward module"
NHWC = "straightforward module, channels_last"
COMPILED = "straightforward module, channels_last, torch.compile"


def layer(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, padding_mode="reflect"),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
    )


class Scale(nn.Module):
    """A skip beside a strided branch that holds the next scale."""

    def __init__(self, config: HourglassConfig, level: int, inputs: int):
        super().__init__()
        width = config.channels[level]
        deepest = level + 1 == len(config.channels)
        below = width if deepest else config.channels[level + 1]
        deeper = nn.Identity() if deepest else Scale(config, level + 1, width)
        self.skip = layer(inputs, config.skip_channels, 1)
        self.deep = nn.Sequential(
            layer(inputs, width, 3, stride=2),
            layer(width, width, 3),
            deeper,
            nn.Upsample(scale_factor=2, mode="bilinear"),
        )
        both = config.skip_channels + below
        self.up = nn.Sequential(nn.BatchNorm2d(both), layer(both, width, 3), layer(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, width, H, W)."""
        result: Tensor = self.up(torch.cat([self.skip(x), self.deep(x)], 1))
        return result


def steps(
    recipe: Recipe, side: int, factor: int, device: str, dtype: torch.dtype, nhwc: bool, compiled: bool
) -> Callable[[], Tensor]:
    """Return what does one step of super-resolution with Adam, and returns its loss."""
    torch.manual_seed(0)
    memory_format = torch.channels_last if nhwc else torch.contiguous_format
    config = recipe.network
    head = nn.Sequential(nn.Conv2d(config.channels[0], config.output_channels, 1), nn.Sigmoid())
    network = nn.Sequential(Scale(config, 0, config.input_channels), head)
    network = network.to(device, memory_format=memory_format)  # type: ignore[call-overload]  # torch's stub lacks it
    call = torch.compile(network) if compiled else network
    z = (INPUT_RANGE * torch.rand(1, config.input_channels, side, side)).to(device, memory_format=memory_format)
    observation = torch.rand(1, 3, side // factor, side // factor).to(device)
    operator = Downscale((side, side), (side // factor, side // factor))
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)

    def step() -> Tensor:
        optimizer.zero_grad()
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            output = call(z + recipe.noise * torch.randn_like(z))
        loss = F.mse_loss(operator(output.float()), observation)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
