"""What latents a mapping network gives, as a Gaussian distribution seen through LeakyReLU.

The last step of a mapping network is a LeakyReLU of slope 0.2. Undone, by one of slope 5, the rows that it gives are
distributed about normally (Menon et al., arXiv 2003.03808): PULSE searches there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import whole_number
from ..errors import InputError

SLOPE = 0.2
DRAWS = 1_000_000
CHUNK = 1024
"""Draws at a time: enough to keep a device busy, few enough for the cache of a CPU."""


@dataclass(frozen=True, eq=False)
class GaussianFit:
    """Mean and deviation of each number of a latent row, before the last LeakyReLU of the mapping.

    Attributes:
        mean: (latent,), float32.
        std: (latent,), float32, positive.
    """

    mean: Tensor
    std: Tensor

    def latents(self, z: Tensor) -> Tensor:
        """Map normally distributed (..., latent) to latent rows of that shape: leaky_relu_0.2(z * std + mean)."""
        return F.leaky_relu(z * self.std + self.mean, SLOPE)

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> GaussianFit:
        """Return it elsewhere, or in another dtype."""
        return GaussianFit(self.mean.to(device, dtype), self.std.to(device, dtype))


def drawn_rows(
    mapping: Callable[[Tensor], Tensor], latent: int, draws: int, seed: int, device: torch.device
) -> Iterator[Tensor]:
    """Yield rows that `mapping` gives, (at most `CHUNK`, latent), on `device`; the draws depend on the seed alone."""
    random = torch.Generator().manual_seed(seed)
    for start in range(0, draws, CHUNK):
        z = torch.randn(min(CHUNK, draws - start), latent, generator=random, dtype=torch.float32)
        yield mapping(z.to(device))


@torch.no_grad()
def fit_gaussian(
    mapping: Callable[[Tensor], Tensor],
    latent: int,
    draws: int = DRAWS,
    seed: int = 0,
    device: torch.device | None = None,
    progress: Callable[[int], None] | None = None,
) -> GaussianFit:
    """Return the mean and the deviation of LeakyReLU_5(mapping(z)) over draws of z.

    The draws depend on the seed alone, not on the device. Sums are in float64, of differences from the mean of the
    first draws, so that nothing cancels.

    Args:
        mapping: of (N, latent) to the same shape, float32.
        latent: numbers in a row.
        draws: how many, at least 2.
        seed: of the draws.
        device: where the mapping is; None for the CPU.
        progress: called with the number of draws after each part of them.

    Returns:
        On the CPU; the deviation is that of the draws, divided by their number.

    Raises:
        InputError, InputTypeError: fewer than 2 draws, which have no deviation, or no whole number.
    """
    right = "a whole number of at least 2"
    if whole_number("draws", draws, right) < 2:
        raise InputError(f"draws={draws} is out of range; give {right}")
    device = device or torch.device("cpu")
    shift: Tensor | None = None
    total = torch.zeros(latent, dtype=torch.float64, device=device)
    squares = torch.zeros_like(total)
    for drawn in drawn_rows(mapping, latent, draws, seed, device):
        rows = F.leaky_relu(drawn.float(), 1 / SLOPE).double()
        if shift is None:
            shift = rows.mean(0)
        rows -= shift
        total += rows.sum(0)
        squares += rows.square().sum(0)
        if progress is not None:
            progress(len(rows))
    assert shift is not None
    offset = total / draws
    std = (squares / draws - offset.square()).clamp(min=0).sqrt()
    return GaussianFit((shift + offset).float().cpu(), std.float().cpu())
