"""Where searches begin: latents and noise maps drawn from a seed, the same on every device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .generator import Generator
from .noises import draw_noises, zero_noises

NOISES = ("zero", "fixed", "trainable")


@dataclass(frozen=True, eq=False)
class Start:
    """What N searches begin with.

    Attributes:
        z: normally distributed rows, (N, rows, latent), float32.
        noises: (N, 1, side, side) for each map of the generator.
        trainable: how many of them, from the first on, the search may change.
    """

    z: Tensor
    noises: list[Tensor]
    trainable: int

    def to(self, device: torch.device) -> Start:
        """Return it elsewhere."""
        return Start(self.z.to(device), [noise.to(device) for noise in self.noises], self.trainable)


def draw(generator: Generator, seeds: Sequence[int], *, tile_latent: bool, noise: str, trainable_noise: int) -> Start:
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
    return Start(torch.cat(latents), noises, trainable)
