"""StyleGAN (Karras et al., arXiv 1812.04948), the generator that PULSE was published with."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastsr_kernels.style import style_epilogue

from .generator import draw_noises
from .latents import SLOPE

GAIN = math.sqrt(2)
"""He's, for layers that a LeakyReLU follows."""


class EqualisedLinear(nn.Module):
    """A linear layer.

    Args:
        inputs: numbers in.
        outputs: numbers out.
        gain: deviation of what comes out at first, for inputs with a deviation of 1.
        multiplier: of the learning rate; weights and bias are stored larger by its inverse.
    """

    def __init__(self, inputs: int, outputs: int, gain: float = GAIN, multiplier: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / multiplier)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale, self.multiplier = gain / math.sqrt(inputs) * multiplier, multiplier

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs) to (N, outputs)."""
        return F.linear(x, self.weight * self.scale, self.bias * self.multiplier)

    def plain(self) -> nn.Linear:
        """Return an ordinary layer that does the same, for inference."""
        layer = nn.Linear(self.weight.shape[1], self.weight.shape[0], device="meta")
        layer.weight = nn.Parameter(self.weight * self.scale, requires_grad=False)
        layer.bias = nn.Parameter(self.bias * self.multiplier, requires_grad=False)
        return layer


class EqualisedConv2d(nn.Module):
    """A convolution with a square kernel of odd side and zero padding, without bias.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: its side.
        gain: see `EqualisedLinear`.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, gain: float = GAIN):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.scale = gain / math.sqrt(inputs * kernel**2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        return F.conv2d(x, self.kernel(), padding=self.weight.shape[-1] // 2)

    def kernel(self) -> Tensor:
        """Return the weights as they are used."""
        return self.weight * self.scale

    def plain(self) -> nn.Conv2d | nn.ConvTranspose2d:
        """Return an ordinary convolution that does the same, for inference."""
        outputs, inputs, side = self.weight.shape[:3]
        layer = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False, device="meta")
        layer.weight = nn.Parameter(self.kernel(), requires_grad=False)
        return layer


class EqualisedUpConv2d(EqualisedConv2d):
    """Every pixel becomes four, and a convolution with a kernel of 3 follows.

    Both are one transposed convolution with a kernel of 4 and stride 2, with 16 multiplications where there would be
    36: each of its weights is the sum of those that meet the same pixel.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, 2 H, 2 W)."""
        return F.conv_transpose2d(x, self.kernel(), stride=2, padding=1)

    def kernel(self) -> Tensor:
        """Return the weights of the transposed convolution, (inputs, outputs, 4, 4)."""
        # A transposed convolution applies its kernel mirrored.
        w = F.pad((self.weight * self.scale).flip(2, 3), (1, 1, 1, 1))
        w = w[:, :, 1:, 1:] + w[:, :, :-1, 1:] + w[:, :, 1:, :-1] + w[:, :, :-1, :-1]
        return w.transpose(0, 1)

    def plain(self) -> nn.ConvTranspose2d:
        """Return an ordinary transposed convolution that does the same, for inference."""
        outputs, inputs = self.weight.shape[:2]
        layer = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False, device="meta")
        layer.weight = nn.Parameter(self.kernel().contiguous(), requires_grad=False)
        return layer


COLOURS = 3
START = 4
"""The side of the learned constant that every image begins with."""


class StyledLayer(nn.Module):
    """A convolution, then noise, bias, LeakyReLU, and instance norm with the scale and shift that a latent row says.

    Args:
        conv: the convolution.
        channels: that it gives.
        latent: numbers in a latent row.
        blur: whether what it gives is blurred first, as after upscaling.
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
    """Two layers at each side, 4, 8, 16 and so on; the first of them upscales, or at 4 does nothing to the constant.

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
        """Make images (N, 3, side, side) of latents (N, layers, latent) and one noise map for each layer."""
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


MULTIPLIER = 0.01
"""Of its learning rate."""
EPS = 1e-8


class Mapping(nn.Module):
    """Linear layers, each with a LeakyReLU, after the numbers have been brought to a mean square of 1.

    Args:
        latent: numbers in and out.
        layers: how many.
    """

    def __init__(self, latent: int, layers: int):
        super().__init__()
        self.dense = nn.ModuleList([EqualisedLinear(latent, latent, multiplier=MULTIPLIER) for _ in range(layers)])

    def forward(self, z: Tensor) -> Tensor:
        """Map (N, latent) to (N, latent)."""
        x = z * (z.square().mean(1, keepdim=True) + EPS).rsqrt()
        for layer in self.dense:
            x = F.leaky_relu(layer(x), SLOPE)
        return x


LARGEST = 1024


@dataclass(frozen=True)
class StyleGANConfig:
    """Shape of the network; the defaults are those of the published network for faces.

    Attributes:
        resolution: side of the images: 8, 16, ... or 1024.
        latent: numbers in a latent row.
        mapping_layers: of the mapping network.
        fmap_base: channels at a side are 2 * `fmap_base` / side ...
        fmap_max: ... and at most this.
        feature_maps: the channels at each side, from 4 on, in place of what these two make; None for that.
    """

    resolution: int = 1024
    latent: int = 512
    mapping_layers: int = 8
    fmap_base: int = 8192
    fmap_max: int = 512
    feature_maps: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.resolution not in [START * 2**level for level in range(1, 9)]:
            raise ValueError(f"resolution={self.resolution!r} is not 8, 16, 32, ... or {LARGEST}")
        for name in ("latent", "mapping_layers", "fmap_base", "fmap_max"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r} is not a whole number of at least 1")
        if self.feature_maps is not None and len(self.feature_maps) != len(self.sides):
            raise ValueError(f"feature_maps={self.feature_maps!r} are not one number for each side of {self.sides}")
        if min(self.channels) < 1:
            raise ValueError(f"there are sides without channels: {self.channels}")

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of the features: 4, 8, ... and that of the pictures."""
        return tuple(START * 2**level for level in range((self.resolution // START).bit_length()))

    @property
    def channels(self) -> tuple[int, ...]:
        """At each side."""
        if self.feature_maps is not None:
            return self.feature_maps
        return tuple(min(2 * self.fmap_base // side, self.fmap_max) for side in self.sides)

    @property
    def noise_sides(self) -> tuple[int, ...]:
        """Side of the noise map of each layer: there are two layers for each side."""
        return tuple(side for side in self.sides for _ in range(2))


class StyleGAN(nn.Module):
    """A mapping network and a synthesis network; a `fastsr.stylegan.generator.Generator`.

    Attributes:
        architecture: its shape.
        mapping: normally distributed (N, latent) to latent rows (N, latent).
        synthesis: latents and noise maps to pictures.
        noise0, noise1, ...: buffers (1, 1, side, side), noise that is the same for all pictures.
    """

    def __init__(self, architecture: StyleGANConfig):
        super().__init__()
        self.architecture = architecture
        self.resolution, self.latent = architecture.resolution, architecture.latent
        self.noise_sides = architecture.noise_sides
        self.layers = len(self.noise_sides)
        self.mapping = Mapping(architecture.latent, architecture.mapping_layers)
        self.synthesis = Synthesis(architecture.channels, architecture.latent)
        for index, noise in enumerate(draw_noises(self.noise_sides, 1, torch.Generator().manual_seed(0))):
            self.register_buffer(f"noise{index}", noise)

    @property
    def noises(self) -> list[Tensor]:
        """The noise that is the same for all pictures."""
        return [getattr(self, f"noise{index}") for index in range(self.layers)]

    def forward(self, latents: Tensor, noises: Sequence[Tensor]) -> Tensor:
        """Make pictures.

        Args:
            latents: (N, layers, latent).
            noises: for each layer (N, 1, side, side), or (1, 1, side, side) for all pictures.

        Returns:
            (N, 3, resolution, resolution), nominally in [-1, 1], and not clamped.
        """
        return self.synthesis(latents, noises)

    def folded(self, dtype: torch.dtype = torch.float32) -> StyleGAN:
        """Return a copy for inference, whose synthesis has ordinary layers, with their convolutions in `dtype`.

        It gives the same images, as far as `dtype` can, in less time: scales are no longer applied, nor kernels
        summed, each time. Latents, styles and images remain what they are. It cannot be trained or saved.
        """
        network = copy.deepcopy(self).eval().requires_grad_(False)
        network.synthesis.fold(dtype)
        return network
