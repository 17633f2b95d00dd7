"""The synthesis network of StyleGAN: latent rows and noise maps to a picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fastsr_kernels.style import style_epilogue

from .layers import EqualisedConv2d, EqualisedLinear, EqualisedUpConv2d

COLOURS = 3
START = 4
"""The side of the learned constant that every picture begins with."""


class StyledLayer(nn.Module):
    """A convolution, then noise, bias, LeakyReLU, and instance norm with the scale and shift that a latent row says.

    Args:
        conv: the convolution.
        channels: that it gives.
        latent: numbers in a latent row.
        blur: whether what it gives is blurred first, as after enlarging.
    """

    def __init__(self, conv: nn.Module, channels: int, latent: int, *, blur: bool):
        super().__init__()
        self.conv, self.blur = conv, blur
        self.noise_weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.style = EqualisedLinear(latent, 2 * channels, gain=1.0)

    def forward(self, x: Tensor, row: Tensor, noise: Tensor) -> Tensor:
        """Map (N, C, H, W) as the convolution does, with a row (N, latent) and noise (N or 1, 1, side, side)."""
        with torch.autocast(x.device.type, enabled=False):
            style = self.style(row).unflatten(1, (2, -1))
        return style_epilogue(self.conv(x), noise, self.noise_weight, self.bias, style, blur=self.blur)


class Synthesis(nn.Module):
    """Two layers at each side, 4, 8, 16 and so on; the first of them enlarges, or at 4 does nothing to the constant.

    Args:
        channels: at each side.
        latent: numbers in a latent row.
    """

    def __init__(self, channels: Sequence[int], latent: int):
        super().__init__()
        self.const = nn.Parameter(torch.ones(1, channels[0], START, START))
        layers = []
        for index, width in enumerate(channels):
            first = EqualisedUpConv2d(channels[index - 1], width) if index else nn.Identity()
            layers.append(StyledLayer(first, width, latent, blur=index > 0))
            layers.append(StyledLayer(EqualisedConv2d(width, width), width, latent, blur=False))
        self.layers = nn.ModuleList(layers)
        self.rgb = EqualisedConv2d(channels[-1], COLOURS, kernel=1, gain=1.0)
        self.rgb_bias = nn.Parameter(torch.zeros(COLOURS))

    def forward(self, latents: Tensor, noises: Sequence[Tensor]) -> Tensor:
        """Make pictures (N, 3, side, side) of latents (N, layers, latent) and one noise map for each layer."""
        x = self.const.expand(len(latents), -1, -1, -1)
        for layer, row, noise in zip(self.layers, latents.unbind(1), noises, strict=True):
            x = layer(x, row, noise)
        return self.rgb(x.to(self.rgb_bias.dtype)) + self.rgb_bias[:, None, None]

    def fold(self, dtype: torch.dtype) -> None:
        """Make all layers ordinary ones, for inference, with their convolutions in `dtype`.

        Styles stay as they are, and so does the last convolution: what it gives is the picture.
        """
        for owner in (*self.layers, self):
            for name, part in owner.named_children():
                if isinstance(part, EqualisedLinear):
                    setattr(owner, name, part.plain())
                elif isinstance(part, EqualisedConv2d):
                    setattr(owner, name, part.plain() if part is self.rgb else part.plain().to(dtype))
        self.const = nn.Parameter(self.const.to(dtype), requires_grad=False)
