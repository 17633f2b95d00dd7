"""Enlarging a picture with a generator: in tiles, in the precision of the device, and exactly."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from ..allocation import freed_memory_kept
from ..device import available_memory
from ..errors import InputError
from ..tiling import LEAST_TILE, Tile, in_tiles, spans
from .checkpoint import Checkpoint
from .fast import for_inference
from .network import SRResNet, Upscaler

LARGEST_TILE = {"cpu": 512, "cuda": 1024}
"""So large that the overlap of SRResNet costs little; memory does not grow with the picture beyond it."""
TILE_OF_REACH = 4
"""RRDBNet sees so far that its tiles are up to this many times the reach: most of a smaller one would be overlap."""
PICTURE_BYTES = {"cpu": 2**28, "cuda": 2**31}
"""For the part of a network that makes the picture of the features, which works on smaller tiles of its own."""
SHARE = 0.5
"""The part of the free memory that tiles may take."""


class InFloat32(nn.Module):
    """The first convolution in float32, for activations of another dtype.

    It is a small part of the work, and most of what bfloat16 would lose is lost there: bfloat16 has not the digits of
    a picture of 8 bits. With it PSNR stays within 0.01 dB.
    """

    def __init__(self, convolution: nn.Module, dtype: torch.dtype):
        super().__init__()
        self.convolution, self.dtype = convolution, dtype

    def forward(self, x: Tensor) -> Tensor:
        """Map float32 to `dtype`."""
        return self.convolution(x).to(self.dtype)


class Enlarger:
    """A generator on a device.

    Args:
        checkpoint: the generator.
        device: to compute on.
        dtype: of the activations; where bfloat16 gives a value that is not finite, the tile is done again in float32.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype):
        self._checkpoint, self._device, self._dtype = checkpoint, device, dtype
        network = checkpoint.network
        self._fast = for_inference(network) if isinstance(network, SRResNet) else network
        self._placed: dict[torch.dtype, Upscaler] = {}

    @torch.inference_mode()
    def __call__(
        self, pixels: Tensor, *, tile: int | None = None, report: Callable[[float], None] | None = None
    ) -> Tensor:
        """Return one picture, (1, C, H, W) in [0, 1], enlarged by the network's scale, in [0, 1].

        It stays where it is: tiles of it go to the device and their results come back.

        Args:
            pixels: C is 1 or 3. Grey is given to a network for colour as three equal channels, and their mean comes
                back; a network for grey is given the colours one by one.
            tile: the largest side of a tile, without the overlap; None chooses by the free memory.
            report: called after each tile with the pixels done.

        Raises:
            InputError: the network gives values that are not finite.
            NotEnoughMemoryError: not even a small tile fits.
        """
        colours, channels = pixels.shape[1], self._fast.channels
        if colours == channels:
            return self._enlarge(pixels, tile, report)
        if channels == 3:
            return self._enlarge(pixels.expand(-1, 3, -1, -1), tile, report).mean(1, keepdim=True)
        third = None if report is None else lambda done: report(done / colours)
        return torch.cat([self._enlarge(colour, tile, third) for colour in pixels.split(1, 1)], 1)

    def _enlarge(self, pixels: Tensor, tile: int | None, report: Callable[[float], None] | None) -> Tensor:
        network, square = self._fast, self._fast.unshuffle
        prepared = network.prepare(self._checkpoint.to_input(pixels))
        with freed_memory_kept() if self._device.type == "cpu" else nullcontext():
            large = in_tiles(
                prepared,
                self._run,
                channels=network.channels,
                magnification=network.scale * square,
                reach=network.features_reach + network.picture_reach,
                limit=self._largest_tile() if tile is None else tile // square,
                report=None if report is None else lambda done: report(done * square**2),
            )
        height, width = (side * network.scale for side in pixels.shape[-2:])
        return large[..., :height, :width]

    def _largest_tile(self) -> int:
        """The side of a tile whose features fit into the free memory, without the overlap."""
        network = self._fast
        reach = network.features_reach + network.picture_reach
        largest = max(LARGEST_TILE[self._device.type], TILE_OF_REACH * reach)
        free = available_memory(self._device)
        if free is None:
            return largest
        side = math.isqrt(int(SHARE * free / (network.features_floats * self._dtype.itemsize)))
        return min(max(side - 2 * reach, LEAST_TILE), largest)

    def _run(self, part: Tensor, tile: Tile) -> Tensor:
        """Return what the network makes of a tile, in [0, 1]."""
        part = part.to(self._device, memory_format=torch.channels_last)
        made = self._compute(part, tile, self._dtype)
        if self._dtype != torch.float32 and not bool(made.isfinite().all()):
            made = self._compute(part, tile, torch.float32)
        if not bool(made.isfinite().all()):
            raise InputError(f"{self._checkpoint.name} gives values that are not finite; the weights are damaged")
        return self._checkpoint.to_colours(made)

    def _compute(self, part: Tensor, tile: Tile, dtype: torch.dtype) -> Tensor:
        """Return what the network makes of a tile, float32."""
        network = self._network(dtype)
        features = network.features(part)
        m, reach, limit = network.scale * network.unshuffle, network.picture_reach, self._picture_limit(dtype)
        rows, columns = tile.rows.kept, tile.columns.kept
        size = m * (rows.stop - rows.start), m * (columns.stop - columns.start)
        made = torch.empty((1, network.channels, *size), dtype=torch.float32, device=part.device)
        for row in spans(rows.start, rows.stop, limit, reach, part.shape[-2]):
            for column in spans(columns.start, columns.stop, limit, reach, part.shape[-1]):
                window = (..., row.read, column.read)
                picture = network.picture(features[window], part[window])
                place = (..., row.placed(m, rows.start), column.placed(m, columns.start))
                made[place] = picture[..., row.placed(m, row.low), column.placed(m, column.low)]
        return made

    def _picture_limit(self, dtype: torch.dtype) -> int:
        network = self._fast
        side = math.isqrt(PICTURE_BYTES[self._device.type] // (network.picture_floats * dtype.itemsize))
        return max(side - 2 * network.picture_reach, LEAST_TILE)

    def _network(self, dtype: torch.dtype) -> Upscaler:
        if dtype not in self._placed:
            placed = copy.deepcopy(self._fast)
            placed.to(self._device, dtype)
            placed.first = InFloat32(copy.deepcopy(self._fast.first).to(self._device), dtype)
            self._placed[dtype] = placed.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self._placed[dtype]
