"""A network that works on overlapping tiles, whose results fade into one another: whole pictures of any size.

The sampler sees one picture: what the network says of it is put together from tiles at every step, so that there is
nothing at the end that could show a seam.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

OVERLAP = 4
"""Neighbouring tiles share at least one part in so many of their side."""

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Maps condition, noisy picture, both (N, 3, H, W), and level (N,) to (N, 3, H, W); see `UNet.forward`."""


@dataclass(frozen=True)
class Axis:
    """The tiles along one axis: of one length, beginning at `starts`."""

    starts: tuple[int, ...]
    tile: int
    length: int

    @classmethod
    def cut(cls, length: int, tile: int) -> Axis:
        """Cut an axis into tiles of `tile`, or take it whole where that is all of it."""
        if length <= tile:
            return cls((0,), length, length)
        overlap = -(-tile // OVERLAP) if tile > 1 else 0
        count = -(-(length - overlap) // (tile - overlap))
        return cls(tuple(round(index * (length - tile) / (count - 1)) for index in range(count)), tile, length)

    def weights(self) -> Tensor:
        """Return how much each tile counts at each of its pixels, (tiles, tile): in an overlap one fades, 1 in all."""
        place = torch.arange(self.tile, dtype=torch.float64, device="cpu")
        ramp = torch.minimum(place + 1, self.tile - place)
        total = torch.zeros(self.length, dtype=torch.float64, device="cpu")
        for start in self.starts:
            total[start : start + self.tile] += ramp
        return torch.stack([ramp / total[start : start + self.tile] for start in self.starts])


@dataclass(frozen=True)
class Tiles:
    """The tiles of a picture of (height, width)."""

    rows: Axis
    columns: Axis

    @classmethod
    def cut(cls, size: tuple[int, int], tile: int) -> Tiles:
        """Cut a picture into tiles of `tile` a side at the most."""
        height, width = size
        return cls(Axis.cut(height, tile), Axis.cut(width, tile))

    def __len__(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    @property
    def places(self) -> list[tuple[slice, slice]]:
        """The rows and the columns of each tile."""
        return [
            (slice(top, top + self.rows.tile), slice(left, left + self.columns.tile))
            for top in self.rows.starts
            for left in self.columns.starts
        ]

    @cached_property
    def weights(self) -> Tensor:
        """How much each tile counts at each of its pixels, (tiles, height, width) of a tile, float32."""
        rows, columns = self.rows.weights(), self.columns.weights()
        return (rows[:, None, :, None] * columns[None, :, None, :]).flatten(0, 1).float()


def in_tiles(
    network: Network, tiles: Tiles, most: int, device: torch.device, done: Callable[[int, int], None] | None = None
) -> Network:
    """Return the network that works on the tiles of pictures, on at most `most` tiles at once.

    `done` is called after each group of tiles with how many have been worked on since the call, and how many there are.
    """
    weights, places = tiles.weights.to(device), tiles.places

    def fused(condition: Tensor, noisy: Tensor, level: Tensor) -> Tensor:
        said = torch.zeros_like(noisy)
        count = max(most // len(noisy), 1)
        for first in range(0, len(places), count):
            group = places[first : first + count]
            known, unknown = (
                torch.cat([whole[..., rows, columns] for rows, columns in group]) for whole in (condition, noisy)
            )
            parts = network(known, unknown, level.repeat(len(group))).to(noisy.dtype).split(len(noisy))
            for (rows, columns), weight, part in zip(group, weights[first : first + count], parts, strict=True):
                said[..., rows, columns] += weight * part
            if done is not None:
                done(first + len(group), len(places))
        return said

    return network if len(tiles) == 1 else fused


def padded(pixels: Tensor, multiple: int, least: int) -> Tensor:
    """Return (N, C, H, W) with its last rows and columns repeated up to multiples, and sides of at least `least`."""
    height, width = (-(-max(side, least) // multiple) * multiple for side in pixels.shape[-2:])
    return F.pad(pixels, (0, width - pixels.shape[-1], 0, height - pixels.shape[-2]), mode="replicate")


def groups(count: int, most: int) -> Iterator[slice]:
    """Cut `count` into slices of at most `most`."""
    return (slice(first, min(first + most, count)) for first in range(0, count, most))
