"""Samples of a picture: its condition, tiles and batches, in the precision of the device."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import torch
from torch import Tensor

from fastsr_kernels.resample import axis_table, resample

from ..allocation import freed_memory_kept
from ..device import available_memory
from ..errors import NotFiniteError
from .arguments import Options
from .network import COLOURS, UNet
from .sampling import State, sample
from .tiles import Tiles, groups, in_tiles, padded

SHARE = 0.5
"""The part of the free memory that features may take."""
MOST_ON_CPU = 4
"""Tiles at once; more are no faster there."""

Report = Callable[[float, Tensor, State], None]


class Diffuser:
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
            report: called after each step with the part of the pictures' step that it was, what is seen, (rows, C, H,
                W) in [0, 1], and a `State`; rows are samples of one picture after the other.
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
            warnings.warn(f"{error}; the picture is done again in float32", RuntimeWarning, stacklevel=2)
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
    """Return pictures (N, C, h, w) in [0, 1] as the network is told of them: at `size`, (N, 3, H, W) in [-1, 1]."""
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
