"""Inference with SR3: images in, samples out, in batches and tiles that fit into memory.

`sample_images` does the work of `fastsr.sr3` image by image. `DiffusionSampler` turns the pixels of an image into
samples: it computes the condition, cuts what is large into overlapping tiles, and repeats in float32 what fails in
bfloat16. The steps themselves are in `fastsr.sr3.sampling`.
"""

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
from ..runtime.progress import ProgressReporter
from .arguments import Options, target_size
from .network import COLOURS, Network, UNet
from .samples import Samples
from .sampling import State, sample

NOTE = "Detail in this picture was invented by fastsr sr3 (SR3, a diffusion model). It identifies nobody."
"""The comment that a file with a result carries."""
MEMORY_SHARE = 0.5
"""The share of the free memory that activations may use."""
MAX_TILES_ON_CPU = 4
"""The largest number of tiles at once on a CPU, where more are no faster."""
MIN_OVERLAP = 4
"""Neighbouring tiles overlap by at least a fourth of their side."""

Report = Callable[[float, Tensor, State], None]


def sample_images(
    images: Iterable[tuple[Any, str]],
    options: Options,
    several: bool,
    callback: Callable[[int, Tensor, State], None] | None,
    bar: Any,
) -> Iterator[Any]:
    """Yield the result of each image.

    Args:
        images: images of any kind, each with the name that errors call it by.
        options: arguments of `fastsr.sr3`.
        several: whether the result of an image is a `Samples`; otherwise it is its first sample.
        callback: see `fastsr.sr3`.
        bar: see `fastsr.runtime.progress.progress_bar`.

    Yields:
        An image of the kind that came in, or `Samples` of such images.
    """
    sampler = DiffusionSampler(options)
    progress = ProgressReporter(bar, options.plan.steps, callback)
    with bar:
        for image, name in images:
            progress.begin()
            picture = replace(read(image, name), comment=NOTE)
            size = target_size(picture.pixels, options, name)
            drawn = sampler(picture.premultiplied, size, progress.step, progress.show_tile)
            progress.end(drawn.shape[0] * drawn.shape[1])
            results = [_to_picture(picture, colours, options) for colours in drawn.unbind(1)]
            yield Samples(picture, results) if several else picture.like(results[0].pixels, results[0].alpha)


@torch.no_grad()
def _to_picture(picture: Picture, colours: Tensor, options: Options) -> Picture:
    """Return a sample, (N, C, H, W) in [0, 1], as a picture with the alpha of `picture`."""
    low = replace(picture, origin=replace(picture.origin, kind="picture"))
    return remade_to_agree(low, colours) if options.consistency else low.remade(colours)


class DiffusionSampler:
    """Draws samples of images with the network and the sampler that the options name."""

    def __init__(self, options: Options):
        self._options = options
        self._networks: dict[torch.dtype, UNet] = {}

    @torch.no_grad()
    def __call__(
        self,
        pixels: Tensor,
        size: tuple[int, int],
        report: Report | None = None,
        tile_done: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Return samples of images.

        Args:
            pixels: low-resolution images, (N, C, h, w) in [0, 1], with C 1 or 3.
            size: (H, W) of the results.
            report: called after each step with the share of the rows that did it, x0_pred, (rows, C, H, W) in [0, 1],
                and a `State`. Rows are ordered by image, then by sample.
            tile_done: called during a step that has several tiles, see `in_tiles`.

        Returns:
            (N, samples, C, H, W) in [0, 1], float32, on the device of `pixels`.

        Raises:
            NotFiniteError: the network output is not finite, in float32 as well.
        """
        options, device = self._options, self._options.device
        config = options.checkpoint.network.config
        condition = condition_of(pixels.to(device, torch.float32), size)
        condition = pad(condition, config.multiple, options.checkpoint.size or 1)
        condition = condition.repeat_interleave(options.samples, 0)
        tiles = Tiles.cut((condition.shape[-2], condition.shape[-1]), options.tile)
        seeds = torch.arange(options.samples, device=device).add(options.seed).repeat(len(pixels))
        at_once = max(self._max_tiles(tiles) // len(tiles), 1)
        results = []
        with freed_memory_kept() if device.type == "cpu" else nullcontext():
            for rows in slices(len(condition), at_once):
                drawn, furthest = condition[rows], 0
                for x0_pred, state in self._sample(condition[rows], seeds[rows], tiles, tile_done):
                    drawn = _to_colours(x0_pred, size, pixels.shape[1])
                    state.first, state.noisy = rows.start, state.noisy[..., : size[0], : size[1]]
                    if report is not None:
                        repeated = state.step <= furthest  # after a failure in bfloat16
                        report(0 if repeated else len(drawn) / len(condition), drawn, state)
                        furthest = max(furthest, state.step)
                results.append(drawn.to(pixels.device))
        return torch.cat(results).unflatten(0, (len(pixels), options.samples))

    def _sample(
        self, condition: Tensor, seeds: Tensor, tiles: Tiles, tile_done: Callable[[int, int], None] | None
    ) -> Iterator[tuple[Tensor, State]]:
        """Yield the steps of `sample`; if bfloat16 gives values that are not finite, repeat all steps in float32."""
        try:
            yield from self._sample_in(self._options.dtype, condition, seeds, tiles, tile_done)
            return
        except NotFiniteError as error:
            if self._options.dtype == torch.float32:
                raise
            warnings.warn(f"{error}; the image is sampled again in float32", RuntimeWarning, stacklevel=2)
        yield from self._sample_in(torch.float32, condition, seeds, tiles, tile_done)

    def _sample_in(
        self,
        dtype: torch.dtype,
        condition: Tensor,
        seeds: Tensor,
        tiles: Tiles,
        tile_done: Callable[[int, int], None] | None,
    ) -> Iterator[tuple[Tensor, State]]:
        network = in_tiles(self._network(dtype), tiles, self._max_tiles(tiles), condition.device, tile_done)
        return sample(network, self._options.plan, condition, seeds)

    def _max_tiles(self, tiles: Tiles) -> int:
        """Return the number of tiles whose activations fit into memory at once, even if they are float32."""
        device, config = self._options.device, self._options.checkpoint.network.config
        needed = config.activation_count * tiles.rows.tile * tiles.columns.tile * torch.float32.itemsize
        free = available_memory(device)
        fits = MAX_TILES_ON_CPU if free is None else max(int(MEMORY_SHARE * free) // needed, 1)
        return min(fits, MAX_TILES_ON_CPU) if device.type == "cpu" else fits

    def _network(self, dtype: torch.dtype) -> UNet:
        """Return a copy of the network on the device that computes in `dtype`."""
        if dtype not in self._networks:
            network = copy.deepcopy(self._options.checkpoint.network).to(self._options.device).lower(dtype)
            self._networks[dtype] = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self._networks[dtype]


def condition_of(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the condition of low-resolution images: upscaled by MATLAB's bicubic kernel.

    Args:
        pixels: (N, C, h, w) in [0, 1], with C 1 or 3.
        size: (H, W) of the results.

    Returns:
        (N, 3, H, W) in [-1, 1].
    """
    # Not imresize: it queries the free memory, which would make every step of a training wait for the GPU.
    rows, columns = (
        axis_table(low, high, kernel="cubic", border="symmetric")
        for low, high in zip(pixels.shape[-2:], size, strict=True)
    )
    return (2 * resample(pixels, rows, columns).clamp(0, 1) - 1).expand(-1, COLOURS, -1, -1)


def pad(pixels: Tensor, multiple: int, min_side: int) -> Tensor:
    """Return (N, C, H, W) with the last rows and columns repeated, so that sides are multiples, and not too small."""
    height, width = (-(-max(side, min_side) // multiple) * multiple for side in pixels.shape[-2:])
    return F.pad(pixels, (0, width - pixels.shape[-1], 0, height - pixels.shape[-2]), mode="replicate")


def _to_colours(x0_pred: Tensor, size: tuple[int, int], channels: int) -> Tensor:
    """Map x0_pred in [-1, 1], perhaps padded, to colours (rows, channels, H, W) in [0, 1]."""
    colours = (x0_pred[..., : size[0], : size[1]] + 1) / 2
    return colours if channels == COLOURS else colours.mean(1, keepdim=True)


def slices(count: int, max_length: int) -> Iterator[slice]:
    """Return slices of at most `max_length` that together cover `count` rows."""
    return (slice(first, min(first + max_length, count)) for first in range(0, count, max_length))


@dataclass(frozen=True)
class Axis:
    """The tiles along one axis of an image.

    Attributes:
        starts: first pixel of each tile.
        tile: length of every tile, in pixels.
        length: length of the axis, in pixels.
    """

    starts: tuple[int, ...]
    tile: int
    length: int

    @classmethod
    def cut(cls, length: int, tile: int) -> Axis:
        """Return tiles of length `tile`, or a single one of the whole axis if that is shorter."""
        if length <= tile:
            return cls((0,), length, length)
        overlap = -(-tile // MIN_OVERLAP) if tile > 1 else 0
        count = -(-(length - overlap) // (tile - overlap))
        return cls(tuple(round(index * (length - tile) / (count - 1)) for index in range(count)), tile, length)

    def weights(self) -> Tensor:
        """Return the blending weights of each tile, (tiles, tile), float64; at each pixel their sum is 1."""
        index = torch.arange(self.tile, dtype=torch.float64, device="cpu")
        ramp = torch.minimum(index + 1, self.tile - index)
        total = torch.zeros(self.length, dtype=torch.float64, device="cpu")
        for start in self.starts:
            total[start : start + self.tile] += ramp
        return torch.stack([ramp / total[start : start + self.tile] for start in self.starts])


@dataclass(frozen=True)
class Tiles:
    """The tiles of an image, which overlap.

    Attributes:
        rows: tiles along the vertical axis.
        columns: tiles along the horizontal axis.
    """

    rows: Axis
    columns: Axis

    @classmethod
    def cut(cls, size: tuple[int, int], tile: int) -> Tiles:
        """Cut an image of `size`, (height, width), into tiles with sides of at most `tile` pixels."""
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
        """The blending weights of each tile, (tiles, height, width) with the size of a tile, float32."""
        rows, columns = self.rows.weights(), self.columns.weights()
        return (rows[:, None, :, None] * columns[None, :, None, :]).flatten(0, 1).float()


def in_tiles(
    network: Network,
    tiles: Tiles,
    max_tiles: int,
    device: torch.device,
    done: Callable[[int, int], None] | None = None,
) -> Network:
    """Return a network that evaluates `network` on the tiles of its images, and blends the outputs.

    Args:
        network: see `Network`.
        tiles: tiles of an image.
        max_tiles: largest number of tiles that fit into memory at once.
        device: device of the images.
        done: called after each group of tiles with the number of tiles done since the call, and their number.
    """
    weights, places = tiles.weights.to(device), tiles.places

    def blend(condition: Tensor, noisy: Tensor, level: Tensor) -> Tensor:
        model_out = torch.zeros_like(noisy)
        for group in slices(len(places), max(max_tiles // len(noisy), 1)):
            cut = places[group]
            tile_condition, tile_noisy = (
                torch.cat([image[..., rows, columns] for rows, columns in cut]) for image in (condition, noisy)
            )
            outputs = network(tile_condition, tile_noisy, level.repeat(len(cut))).to(noisy.dtype).split(len(noisy))
            for (rows, columns), weight, output in zip(cut, weights[group], outputs, strict=True):
                model_out[..., rows, columns] += weight * output
            if done is not None:
                done(group.stop, len(places))
        return model_out

    return network if len(tiles) == 1 else blend
