"""Samples of an image: its condition, tiles and batches, in the precision of the device."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fastsr_kernels.resample import axis_table, resample

from ..consistency import remade_to_agree
from ..errors import NotFiniteError
from ..images import Picture, read
from ..runtime.memory import available_memory, freed_memory_kept
from .arguments import Options, target_size
from .network import COLOURS, Network, UNet
from .samples import Samples
from .sampling import State, sample

OVERLAP = 4
"""Neighbouring tiles share at least one part in so many of their side."""


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
    """The tiles of an image of (height, width)."""

    rows: Axis
    columns: Axis

    @classmethod
    def cut(cls, size: tuple[int, int], tile: int) -> Tiles:
        """Cut an image into tiles of `tile` a side at the most."""
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
    """Return the network that works on the tiles of images, on at most `most` tiles at once.

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


SHARE = 0.5
"""The part of the free memory that features may take."""
MOST_ON_CPU = 4
"""Tiles at once; more are no faster there."""

Report = Callable[[float, Tensor, State], None]


class DiffusionSampler:
    """A network on a device, and the sampler to use it with."""

    def __init__(self, options: Options):
        self._options = options
        self._placed: dict[torch.dtype, UNet] = {}

    @torch.no_grad()
    def __call__(
        self,
        pixels: Tensor,
        size: tuple[int, int],
        report: Report | None = None,
        tile_done: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Return samples of pictures.

        Args:
            pixels: (N, C, h, w) in [0, 1], C 1 or 3.
            size: (H, W) of the results.
            report: called after each step with the part of the images' step that it was, what is seen, (rows, C, H,
                W) in [0, 1], and a `State`; rows are samples of one image after the other.
            tile_done: called within a step that has several tiles; see `in_tiles`.

        Returns:
            (N, samples, C, H, W) in [0, 1], float32, where `pixels` are.

        Raises:
            NotFiniteError: the network gives values that are not finite, in float32 as well.
        """
        options, device = self._options, self._options.device
        config = options.checkpoint.network.config
        condition = condition_of(pixels.to(device, torch.float32), size)
        trained = options.checkpoint.size or 1
        condition = padded(condition, config.multiple, trained).repeat_interleave(options.samples, 0)
        tiles = Tiles.cut((condition.shape[-2], condition.shape[-1]), options.tile)
        seeds = torch.arange(options.samples, device=device).add(options.seed).repeat(len(pixels))
        most = self._most(tiles)
        found = []
        with freed_memory_kept() if device.type == "cpu" else nullcontext():
            for rows in groups(len(condition), max(most // len(tiles), 1)):
                made, furthest = condition[rows], 0
                for seen, state in self._states(made, seeds[rows], tiles, tile_done):
                    made = _colours(seen, size, pixels.shape[1])
                    state.first, state.noisy = rows.start, state.noisy[..., : size[0], : size[1]]
                    if report is not None:
                        again = state.step <= furthest  # in float32
                        report(0 if again else len(made) / len(condition), made, state)
                        furthest = max(furthest, state.step)
                found.append(made.to(pixels.device))
        return torch.cat(found).unflatten(0, (len(pixels), options.samples))

    def _states(
        self, condition: Tensor, seeds: Tensor, tiles: Tiles, tile_done: Callable[[int, int], None] | None
    ) -> Iterator[tuple[Tensor, State]]:
        """Yield what `sample` does; where bfloat16 gives values that are not finite, all steps again in float32."""

        def states(dtype: torch.dtype) -> Iterator[tuple[Tensor, State]]:
            network = in_tiles(self._network(dtype), tiles, self._most(tiles), condition.device, tile_done)
            return sample(network, self._options.plan, condition, seeds)

        try:
            yield from states(self._options.dtype)
            return
        except NotFiniteError as error:
            if self._options.dtype == torch.float32:
                raise
            warnings.warn(f"{error}; the image is done again in float32", RuntimeWarning, stacklevel=2)
        yield from states(torch.float32)

    def _most(self, tiles: Tiles) -> int:
        """The number of tiles whose features fit into memory at once, in float32 if they must be done again in it."""
        device, config = self._options.device, self._options.checkpoint.network.config
        needed = config.floats * tiles.rows.tile * tiles.columns.tile * torch.float32.itemsize
        free = available_memory(device)
        fits = MOST_ON_CPU if free is None else max(int(SHARE * free) // needed, 1)
        return min(fits, MOST_ON_CPU) if device.type == "cpu" else fits

    def _network(self, dtype: torch.dtype) -> UNet:
        if dtype not in self._placed:
            placed = copy.deepcopy(self._options.checkpoint.network).to(self._options.device).lower(dtype)
            self._placed[dtype] = placed.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self._placed[dtype]


def condition_of(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Return images (N, C, h, w) in [0, 1] as the network is told of them: at `size`, (N, 3, H, W) in [-1, 1]."""
    # Not imresize: it asks how much memory is free, which a GPU should not be asked in every step of a training.
    rows, columns = (
        axis_table(low, high, kernel="cubic", border="symmetric")
        for low, high in zip(pixels.shape[-2:], size, strict=True)
    )
    return (2 * resample(pixels, rows, columns).clamp(0, 1) - 1).expand(-1, COLOURS, -1, -1)


def _colours(seen: Tensor, size: tuple[int, int], channels: int) -> Tensor:
    """Bring what is seen, in [-1, 1] and perhaps padded, to colours (rows, channels, H, W) in [0, 1]."""
    colours = (seen[..., : size[0], : size[1]] + 1) / 2
    return colours if channels == COLOURS else colours.mean(1, keepdim=True)


NOTE = "Detail in this image was invented by fastsr sr3 (SR3, a diffusion model). It identifies nobody."
"""What a file with a result says of itself."""


def draw(
    images: Iterable[tuple[Any, str]],
    options: Options,
    several: bool,
    callback: Callable[[int, Tensor, State], None] | None,
    bar: Any,
) -> Iterator[Any]:
    """Yield the result of each image, of the kind that came."""
    diffuser = DiffusionSampler(options)
    begun = 0
    passed = 0.0

    def report(part: float, seen: Tensor, state: State) -> None:
        nonlocal passed
        before = round(passed)
        passed += part
        bar.update(round(passed) - before)
        state.first += begun
        if callback is not None:
            callback(state.step, seen, state)

    def tile_done(count: int, tiles: int) -> None:
        bar.set_postfix_str(f"tile {count} of {tiles}")

    with bar:
        for number, (image, name) in enumerate(images, 1):
            bar.total = max(bar.total or 0, number * options.plan.steps)  # an iterator does not say how many come
            picture = replace(read(image, name), comment=NOTE)
            size = target_size(picture.pixels, options, name)
            drawn = diffuser(picture.premultiplied, size, report, tile_done)
            begun += drawn.shape[0] * drawn.shape[1]
            made = [_made(picture, sample, options) for sample in drawn.unbind(1)]
            yield Samples(picture, made) if several else picture.like(made[0].pixels, made[0].alpha)


@torch.no_grad()
def _made(image: Picture, colours: Tensor, options: Options) -> Picture:
    """Return a sample, (N, C, H, W), as an image with the alpha of the one that it is of."""
    there = replace(image, origin=replace(image.origin, kind="picture"))
    return remade_to_agree(there, colours) if options.consistency else there.remade(colours)
