"""What StyleGAN's training draws pictures by."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .network import StyleGAN

SEED = 0
"""Of the pictures that are shown and validated: the same ones after every so many steps."""


class Mixing(nn.Module):
    """A generator that draws pictures of two latents each: up to a layer, drawn anew for each, of one of them.

    Args:
        network: the generator.
        part: of the pictures; the others have one latent.
    """

    def __init__(self, network: StyleGAN, part: float):
        super().__init__()
        self.network, self._part = network, part

    def forward(self, z: Tensor) -> Tensor:
        """Map normally distributed (2, N, latent) to pictures (N, 3, side, side), by torch's random numbers."""
        network, device, count = self.network, z.device, z.shape[1]
        with torch.autocast(device.type, enabled=False):  # as the synthesis takes its rows
            first, second = network.mapping(z.flatten(0, 1)).unflatten(0, (2, count))
        borders = torch.randint(1, network.layers, (count, 1, 1), device=device)
        borders = torch.where(torch.rand(count, 1, 1, device=device) < self._part, borders, network.layers)
        of_first = torch.arange(network.layers, device=device)[:, None] < borders
        noises = [torch.randn(count, 1, side, side, device=device) for side in network.noise_sides]
        pictures: Tensor = network(torch.where(of_first, first[:, None], second[:, None]), noises)
        return pictures


@torch.no_grad()
def drawn(network: StyleGAN, count: int, part: int) -> Iterator[Tensor]:
    """Yield pictures of `SEED`, (N, 3, side, side) in [-1, 1] or beyond, `part` at a time, by a network on a device."""
    device = next(network.parameters()).device
    z = torch.randn(count, network.latent, generator=torch.Generator().manual_seed(SEED))
    for some in z.split(part):
        rows = network.mapping(some.to(device))
        yield network(rows[:, None].expand(-1, network.layers, -1), network.noises)
