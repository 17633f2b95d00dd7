"""What a search is to agree with: images, and how a generator's images are compared with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..metrics.color import LUMA
from ..operators import Downscale
from ..stylegan.generator import Generator, draw_noises, zero_noises

KERNEL, BORDER = "cubic", "symmetric"
"""Those of MATLAB's bicubic, as `fastsr.resize` has it."""


@dataclass(frozen=True, eq=False)
class Target:
    """Pictures of one size.

    Attributes:
        pixels: (N, C, h, w) in [0, 1], float32, C 1 or 3, multiplied by alpha.
        alpha: of the upscaled images, (N, 1, resolution, resolution); None where all is opaque.
        resolution: the side of the generator's pictures.
    """

    pixels: Tensor
    alpha: Tensor | None
    resolution: int

    @classmethod
    def joined(cls, goals: Sequence[Target]) -> Target:
        """Return goals of one kind as one."""
        alphas = [goal.alpha for goal in goals if goal.alpha is not None]
        pixels = torch.cat([goal.pixels for goal in goals])
        return cls(pixels, torch.cat(alphas) if alphas else None, goals[0].resolution)

    @property
    def kind(self) -> tuple[object, ...]:
        """What goals have in common that can be joined."""
        return tuple(self.pixels.shape[1:]), self.alpha is None, self.resolution

    def one(self, index: int) -> Target:
        """Return the goal of one picture."""
        at = slice(index, index + 1)
        return Target(self.pixels[at], None if self.alpha is None else self.alpha[at], self.resolution)

    def repeated(self, times: int, device: torch.device) -> Target:
        """Return it on a device, with each image so many times, one after the other."""
        alpha = None if self.alpha is None else self.alpha.to(device).repeat_interleave(times, 0)
        return Target(self.pixels.to(device).repeat_interleave(times, 0), alpha, self.resolution)

    def colours(self, generated: Tensor) -> Tensor:
        """Map what a generator makes, (N, 3, H, W) from -1 to 1, to colours (N, C, H, W) in [0, 1], not premultiplied.

        What is beyond black and white is clipped, and has the gradient that it would have if it were not: a pixel
        can come back.
        """
        colours = (generated.float() + 1) / 2
        colours = colours + (colours.clamp(0, 1) - colours).detach()
        return colours if self.pixels.shape[1] == colours.shape[1] else (colours * self._grey).sum(1, keepdim=True)

    def difference(self, colours: Tensor) -> Tensor:
        """Return the downscale of colours, (N, C, H, W), less the images: (N, C, h, w)."""
        return self._downscale(colours if self.alpha is None else colours * self.alpha) - self.pixels

    @cached_property
    def _downscale(self) -> Downscale:
        small = (self.pixels.shape[-2], self.pixels.shape[-1])
        return Downscale((self.resolution, self.resolution), small, KERNEL, BORDER)

    @cached_property
    def _grey(self) -> Tensor:
        shares = torch.tensor(LUMA, dtype=torch.float64) / sum(LUMA)
        return shares.to(self.pixels).view(1, -1, 1, 1)


NOISES = ("zero", "fixed", "trainable")


@dataclass(frozen=True, eq=False)
class LatentInit:
    """What N searches begin with.

    Attributes:
        z: normally distributed rows, (N, rows, latent), float32.
        noises: (N, 1, side, side) for each map of the generator.
        trainable: how many of them, from the first on, the search may change.
    """

    z: Tensor
    noises: list[Tensor]
    trainable: int

    def to(self, device: torch.device) -> LatentInit:
        """Return it elsewhere."""
        return LatentInit(self.z.to(device), [noise.to(device) for noise in self.noises], self.trainable)


def draw_latents(
    generator: Generator, seeds: Sequence[int], *, tile_latent: bool, noise: str, trainable_noise: int
) -> LatentInit:
    """Return a start for each seed, which does not depend on the others; on the CPU.

    Args:
        generator: whose latents and noise maps they are.
        seeds: one for each start.
        tile_latent: one row for all layers, in place of one for each.
        noise: "zero"; "fixed", normally distributed; or "trainable", likewise, and the search may change the first
            maps. The last map is zero: it would be seen as grain.
        trainable_noise: how many maps, for "trainable"; all but the last where there are fewer.
    """
    sides = generator.noise_sides
    rows = 1 if tile_latent else generator.layers
    latents, maps = [], []
    for seed in seeds:
        random = torch.Generator("cpu").manual_seed(seed)
        shape = 1, rows, generator.latent
        latents.append(torch.randn(shape, generator=random, dtype=torch.float32, device=random.device))
        drawn = [] if noise == "zero" else draw_noises(sides[:-1], 1, random)
        maps.append(drawn + zero_noises(sides[len(drawn) :], 1, random.device))
    noises = [torch.cat(of_all) for of_all in zip(*maps, strict=True)]
    trainable = min(trainable_noise, max(len(sides) - 1, 0)) if noise == "trainable" else 0
    return LatentInit(torch.cat(latents), noises, trainable)
