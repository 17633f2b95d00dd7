"""StyleGAN (Karras et al., arXiv 1812.04948), the generator that PULSE was published with."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .mapping import Mapping
from .noises import draw_noises
from .synthesis import START, Synthesis

LARGEST = 1024


@dataclass(frozen=True)
class Architecture:
    """Shape of the network; the defaults are those of the published network for faces.

    Attributes:
        resolution: side of the pictures: 8, 16, ... or 1024.
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
    """A mapping network and a synthesis network; a `fastsr.pulse.generator.Generator`.

    Attributes:
        architecture: its shape.
        mapping: normally distributed (N, latent) to latent rows (N, latent).
        synthesis: latents and noise maps to pictures.
        noise0, noise1, ...: buffers (1, 1, side, side), noise that is the same for all pictures.
    """

    def __init__(self, architecture: Architecture):
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

        It gives the same pictures, as far as `dtype` can, in less time: scales are no longer applied, nor kernels
        summed, each time. Latents, styles and pictures remain what they are. It cannot be trained or saved.
        """
        network = copy.deepcopy(self).eval().requires_grad_(False)
        network.synthesis.fold(dtype)
        return network
