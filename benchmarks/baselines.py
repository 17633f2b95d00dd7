"""Deep Image Prior as one writes it in plain PyTorch: what the library's steps are timed against."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastsr.dip.fit import INPUT_RANGE
from fastsr.dip.network import LEAKY_SLOPE, HourglassConfig
from fastsr.dip.recipes import Recipe
from fastsr.nn import GroupNorm
from fastsr.operators import Downscale
from fastsr.sr3.network import Attention, UNet
from fastsr.stylegan.latents import GaussianFit
from fastsr.stylegan.network import EqualisedUpConv2d, StyledLayer, StyleGAN

DIP_OURS = "fastsr"
DIP_EAGER = "straightforward module"
DIP_NHWC = "straightforward module, channels_last"
DIP_COMPILED = "straightforward module, channels_last, torch.compile"


def plain_layer(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, padding_mode="reflect"),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
    )


class PlainScale(nn.Module):
    """A skip beside a strided branch that holds the next scale."""

    def __init__(self, config: HourglassConfig, level: int, inputs: int):
        super().__init__()
        width = config.channels[level]
        deepest = level + 1 == len(config.channels)
        below = width if deepest else config.channels[level + 1]
        deeper = nn.Identity() if deepest else PlainScale(config, level + 1, width)
        self.skip = plain_layer(inputs, config.skip_channels, 1)
        self.deep = nn.Sequential(
            plain_layer(inputs, width, 3, stride=2),
            plain_layer(width, width, 3),
            deeper,
            nn.Upsample(scale_factor=2, mode="bilinear"),
        )
        both = config.skip_channels + below
        self.up = nn.Sequential(nn.BatchNorm2d(both), plain_layer(both, width, 3), plain_layer(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, width, H, W)."""
        result: Tensor = self.up(torch.cat([self.skip(x), self.deep(x)], 1))
        return result


def plain_dip_steps(
    recipe: Recipe, side: int, factor: int, device: str, dtype: torch.dtype, nhwc: bool, compiled: bool
) -> Callable[[], Tensor]:
    """Return what does one step of super-resolution with Adam, and returns its loss."""
    torch.manual_seed(0)
    memory_format = torch.channels_last if nhwc else torch.contiguous_format
    config = recipe.network
    head = nn.Sequential(nn.Conv2d(config.channels[0], config.output_channels, 1), nn.Sigmoid())
    network = nn.Sequential(PlainScale(config, 0, config.input_channels), head)
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


class PlainNorm(nn.Module):
    """Group norm, and then x sigmoid(x), each a function of its own; what is to be added is added before."""

    def __init__(self, norm: GroupNorm):
        super().__init__()
        self.norm = nn.GroupNorm(norm.num_groups, norm.num_channels, norm.eps)
        self.norm.load_state_dict(norm.state_dict())
        self.swish = norm.swish

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        y = self.norm(x if shift is None else x + shift[:, :, None, None])
        return y * torch.sigmoid(y) if self.swish else y


class PlainAttention(nn.Module):
    """Attention by two products and a softmax between them, over the whole matrix."""

    def __init__(self, attention: Attention):
        super().__init__()
        self.norm, self.qkv, self.out = attention.norm, attention.qkv, attention.out

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        q, k, v = self.qkv(self.norm(x)).chunk(3, 1)
        scores = torch.einsum("nchw,ncyx->nhwyx", q, k) / x.shape[1] ** 0.5
        weights = scores.flatten(3).softmax(-1).view_as(scores)
        return x + self.out(torch.einsum("nhwyx,ncyx->nchw", weights, v))


def plain_unet(network: UNet) -> UNet:
    """Return a copy of a network that computes the same, by PyTorch's own functions one after the other."""
    plain = copy.deepcopy(network)
    for parent in list(plain.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Attention):
                setattr(parent, name, PlainAttention(child))
    for parent in list(plain.modules()):
        for name, child in parent.named_children():
            if isinstance(child, GroupNorm):
                setattr(parent, name, PlainNorm(child))
    return plain


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


def plain_stylegan(network: StyleGAN) -> StyleGAN:
    """Return a copy of a network that computes the same, by PyTorch's own functions one after the other."""
    plain = copy.deepcopy(network)
    plain.synthesis.layers = nn.ModuleList([PlainLayer(layer) for layer in plain.synthesis.layers])  # type: ignore[arg-type]
    return plain


def plain_pulse_steps(
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
