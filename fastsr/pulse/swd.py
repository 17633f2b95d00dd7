"""How far pictures are from real ones: the sliced Wasserstein distance of Karras et al. (arXiv 1710.10196).

Small patches are taken from each level of Laplacian pyramids, which tells fine structures apart from coarse ones. In
each of many directions through the space of patches, two sets of them are as far apart as their values in order.
The pyramid is that of the project's own blur, so that values cannot be compared with published ones.
"""

from __future__ import annotations

from statistics import fmean

import torch
from torch import Tensor
from torch.nn import functional as F

from fastsr_kernels.upsample_blur import blur_downsample, upsample_blur

from .synthesis import COLOURS

PATCH = 7
PATCHES = 128
"""Of a picture, on each level."""
DIRECTIONS = 512
SMALLEST = 16
"""The side of the last level, which is no difference but what is left."""
UNIT = 1e-3


class SlicedWasserstein:
    """Distances from some real pictures; patches and directions are those of one seed.

    Args:
        real: (N, 3, S, S) in [-1, 1], on the CPU.
    """

    def __init__(self, real: Tensor):
        self._real = _in_order(real)

    def distances(self, made: Tensor) -> dict[int, float]:
        """Return the distance on each level, by its side, of as many pictures, in thousandths of a deviation."""
        pairs = zip(self._real.items(), _in_order(made).values(), strict=True)
        return {side: (real - found).abs().mean().item() / UNIT for (side, real), found in pairs}

    def distance(self, made: Tensor) -> float:
        """Return the mean distance of the levels."""
        return fmean(self.distances(made).values())


def _in_order(pictures: Tensor) -> dict[int, Tensor]:
    """Return by the side of each level the values of all patches in each direction, in order: (512, N * 128)."""
    random = torch.Generator().manual_seed(0)
    found = {}
    for level in _pyramid(pictures):
        patches = _patches(level, random)
        variance, mean = torch.var_mean(patches, (0, 2), keepdim=True)
        directions = torch.randn(DIRECTIONS, COLOURS * PATCH**2, generator=random)
        values = F.normalize(directions) @ ((patches - mean) / variance.sqrt()).flatten(1).T
        found[level.shape[-1]] = values.sort(1).values
    return found


def _pyramid(pictures: Tensor) -> list[Tensor]:
    """Return what each enlarged smaller picture lacks, and the last smaller one."""
    levels = []
    while pictures.shape[-1] > SMALLEST:
        smaller = blur_downsample(pictures)
        levels.append(pictures - upsample_blur(smaller))
        pictures = smaller
    return [*levels, pictures]


def _patches(level: Tensor, random: torch.Generator) -> Tensor:
    """Cut patches at random places, (N * PATCHES, 3, PATCH * PATCH)."""
    count, _, side, _ = level.shape
    tops, lefts = torch.randint(side - PATCH + 1, (2, count, PATCHES, 1, 1), generator=random)
    rows, columns = tops + torch.arange(PATCH)[:, None], lefts + torch.arange(PATCH)
    pictures = torch.arange(count)[:, None, None, None]
    return level.movedim(1, -1)[pictures, rows, columns].flatten(0, 1).flatten(1, 2).transpose(1, 2)
