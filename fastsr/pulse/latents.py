"""What one does to latents when pictures are drawn at random: truncation, and mixing of styles."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .gaussian_fit import drawn_rows

DRAWS = 10_000


@torch.no_grad()
def mean_latent(
    mapping: Callable[[Tensor], Tensor],
    latent: int,
    draws: int = DRAWS,
    seed: int = 0,
    device: torch.device | None = None,
) -> Tensor:
    """Return the mean of the rows that `mapping` gives, (latent,), on `device`; see `fit_gaussian`."""
    total = torch.zeros(latent, dtype=torch.float64, device=device)
    for rows in drawn_rows(mapping, latent, draws, seed, total.device):
        total += rows.double().sum(0)
    return (total / draws).float()


def truncate(latents: Tensor, mean: Tensor, psi: float = 0.7, cutoff: int | None = None) -> Tensor:
    """Move latents towards the mean one: pictures become more usual, and alike.

    Args:
        latents: (N, layers, latent).
        mean: (latent,), see `mean_latent`.
        psi: the part of their distance from it that is left: 1 leaves all, 0 none.
        cutoff: only the rows before this one are moved; None for all.

    Returns:
        (N, layers, latent).
    """
    moved = mean.lerp(latents, psi)
    return moved if cutoff is None else torch.cat([moved[:, :cutoff], latents[:, cutoff:]], 1)


def mix(coarse: Tensor, fine: Tensor, crossover: int) -> Tensor:
    """Take the rows before `crossover` from one latent, the others from the other.

    Args:
        coarse: (N, layers, latent); the first rows say pose and shape.
        fine: likewise; the last rows say colours.
        crossover: from 0, all of `fine`, to layers, all of `coarse`.

    Returns:
        (N, layers, latent).
    """
    return torch.cat([coarse[:, :crossover], fine[:, crossover:]], 1)
