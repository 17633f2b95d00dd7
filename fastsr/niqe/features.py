"""The 36 features of each block of 96x96 pixels: NIQE's 18, of the picture and of the picture at half its size."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from ..imresize import imresize
from .aggd import fit

BLOCK = 96
FEATURES = 36
WINDOW = 7
SIGMA = 7 / 6
SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""From a pixel to the neighbours that it is multiplied by, (down, right)."""
FLAT = 1e-10
"""A smaller MSCN coefficient is rounding, and taken for zero."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """What is measured of n blocks.

    Attributes:
        features: (n, 36); NaN where a block is so flat that it has none.
        sharpness: (n,), the mean of the local deviation.
    """

    features: Tensor
    sharpness: Tensor


def count_blocks(height: int, width: int) -> int:
    """Return how many whole blocks a picture has."""
    return (height // BLOCK) * (width // BLOCK)


def measure(plane: Tensor) -> Blocks:
    """Measure every whole block of a plane, (H, W) from 0 to 255, float32 or float64.

    What is left at the right and the bottom is cut off before, as in the authors' code.
    """
    height, width = (side // BLOCK * BLOCK for side in plane.shape)
    plane = plane[:height, :width]
    coefficients, deviation = mscn(plane)
    # In float32 the resize would leave noise in flat areas, whose sign the fit would take for the picture's.
    half, _ = mscn(imresize(plane.double(), 0.5).to(plane.dtype))
    scales = [_features(_tiles(coefficients, BLOCK)), _features(_tiles(half, BLOCK // 2))]
    return Blocks(torch.cat(scales, 1), _tiles(deviation, BLOCK).mean((1, 2)))


def mscn(plane: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean-subtracted, contrast-normalised coefficients (x - mean) / (deviation + 1), and the deviation.

    Mean and deviation are local, by a Gaussian window of 7x7 and sigma 7/6; the border is replicated. Coefficients
    below `FLAT` are zero.

    Args:
        plane: (H, W), from 0 to 255.

    Returns:
        Two planes (H, W).
    """
    height, width = plane.shape
    reach = WINDOW // 2
    around = F.pad(plane[None, None], (reach,) * 4, mode="replicate")[0, 0]
    # The moments are those of the differences from the pixel itself: in flat areas exactly zero, in every precision.
    mean, square = torch.zeros_like(plane), torch.zeros_like(plane)
    weights = _window()
    for row, column in product(range(WINDOW), repeat=2):
        difference = around[row : row + height, column : column + width] - plane
        weight = weights[row] * weights[column]
        mean.add_(difference, alpha=weight)
        square.addcmul_(difference, difference, value=weight)
    deviation = (square - mean.square()).abs().sqrt()
    coefficients = -mean / (deviation + 1)
    return coefficients.masked_fill(coefficients.abs() < FLAT, 0), deviation


def _window() -> list[float]:
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    return torch.softmax(-0.5 * (offsets / SIGMA) ** 2, 0).tolist()


def _tiles(plane: Tensor, side: int) -> Tensor:
    """Return the blocks of a plane, (n, side, side)."""
    return plane.unfold(0, side, side).unfold(1, side, side).reshape(-1, side, side)


def _features(tiles: Tensor) -> Tensor:
    """Return the 18 features of one scale, (n, 18)."""
    own = fit(tiles.flatten(1))
    columns = [own.alpha, (own.beta_left + own.beta_right) / 2]
    for shift in SHIFTS:
        # Neighbours lie within the block: its last row is that above the first one.
        pairs = fit((tiles * tiles.roll(shift, (1, 2))).flatten(1))
        columns += [pairs.alpha, pairs.mean, pairs.beta_left, pairs.beta_right]
    return torch.stack(columns, 1)
