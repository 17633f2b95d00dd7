"""StyleGAN and a step of PULSE as one writes them in plain PyTorch: what the library's steps are timed against."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastsr.pulse.gaussian_fit import GaussianFit
from fastsr.pulse.layers import EqualisedUpConv2d
from fastsr.pulse.network import StyleGAN
from fastsr.pulse.synthesis import StyledLayer


class PlainUpConv(nn.Module):
    """Nearest neighbours, then a convolution."""

    def __init__(self, conv: EqualisedUpConv2d):
        super().__init__()
        self.weight, self.scale = conv.weight, conv.scale

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, D, 2 H, 2 W)."""
        return F.conv2d(F.interpolate(x, scale_factor=2), self.weight * self.scale, padding=1)


class PlainLayer(nn.Module):
    """Blur, noise, bias, LeakyReLU, instance norm and style, each a function of its own."""

    def __init__(self, layer: StyledLayer):
        super().__init__()
        self.conv = PlainUpConv(layer.conv) if isinstance(layer.conv, EqualisedUpConv2d) else layer.conv
        self.blur, self.style = layer.blur, layer.style
        self.noise_weight, self.bias = layer.noise_weight, layer.bias
        taps = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", taps.outer(taps).expand(len(layer.bias), 1, 3, 3).clone())

    def forward(self, x: Tensor, row: Tensor, noise: Tensor) -> Tensor:
        """Map (N, C, H, W) as `StyledLayer` does."""
        x = self.conv(x)
        if self.blur:
            x = F.conv2d(x, self.kernel, padding=1, groups=x.shape[1])  # type: ignore[arg-type]  # a tensor
        x = F.leaky_relu(x + self.noise_weight[:, None, None] * noise + self.bias[:, None, None], 0.2)
        scale, shift = self.style(row)[:, :, None, None].chunk(2, 1)
        return F.instance_norm(x) * (scale + 1) + shift


def straightforward(network: StyleGAN) -> StyleGAN:
    """Return a copy of a network that computes the same, by PyTorch's own functions one after the other."""
    plain = copy.deepcopy(network)
    plain.synthesis.layers = nn.ModuleList([PlainLayer(layer) for layer in plain.synthesis.layers])  # type: ignore[arg-type]
    return plain


def plain_steps(
    network: Any,
    fit: GaussianFit,
    z: Tensor,
    noises: Sequence[Tensor],
    low: Tensor,
    *,
    trainable: int = 5,
    narrow: bool = False,
) -> Iterator[Tensor]:
    """Search as `fastsr.pulse` does with its default settings, one step after the other; yield each step's loss.

    Args:
        network: maps latents and noise maps to pictures in [-1, 1].
        fit: of its mapping network.
        z: where to begin, (N, layers, latent).
        noises: the noise maps.
        low: the pictures given, (N, 3, h, w) in [0, 1].
        trainable: how many noise maps are searched.
        narrow: whether the network runs under autocast in bfloat16.
    """
    z = z.clone().requires_grad_()
    searched = [noise.clone().requires_grad_() for noise in noises[:trainable]]
    parameters = [z, *searched]
    radii = [parameter.detach().flatten(2).norm(dim=2) for parameter in parameters]
    optimizer = torch.optim.Adam(parameters, lr=0.4)
    size = (low.shape[-2], low.shape[-1])
    while True:
        rows = F.leaky_relu(z * fit.std + fit.mean, 0.2)
        with torch.autocast(z.device.type, torch.bfloat16, enabled=narrow):
            made = network(rows, [*searched, *noises[trainable:]])
        small = F.interpolate((made.float() + 1) / 2, size=size, mode="bicubic", antialias=True)
        angles = [
            2 * torch.atan2((x - y).norm(dim=1) + 1e-9, (x + y).norm(dim=1) + 1e-9)
            for x, y in product(rows.unbind(1), repeat=2)
        ]
        angle = 512 / 8 * torch.stack(angles).square().mean(0)
        error = (small - low).square().mean((1, 2, 3)).clamp(min=2e-3)
        loss = (100 * error + 0.05 * angle).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for parameter, radius in zip(parameters, radii, strict=True):
                now = parameter.flatten(2).norm(dim=2)
                parameter.mul_((radius / now).view(*radius.shape, *(1,) * (parameter.ndim - 2)))
        yield loss.detach()
