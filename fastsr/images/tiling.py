"""A network applied to an image in overlapping tiles, with the result that the whole image would give.

An output pixel depends on the input pixels within the receptive field around it, so a tile is read with that many more
pixels on each side, as far as the image goes, and only its middle is kept. At the edge of the image the tile ends there
too, and the network pads it as it would pad the image. This holds for convolutions alone: a network that looks at the
whole image, by attention or by the statistics of a norm, cannot be tiled exactly.

Here a receptive field is counted in input pixels in each direction, from the centre: a 3x3 convolution has 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..errors import NotEnoughMemoryError

LEAST_TILE = 16
"""The smallest side, in pixels, to which tiles are halved when memory runs out."""


@dataclass(frozen=True)
class Span:
    """A part of an axis, in pixels of the input.

    Attributes:
        start, stop: the part whose result is kept.
        low, high: the part that is read, which contains it.
    """

    start: int
    stop: int
    low: int
    high: int

    @property
    def kept(self) -> slice:
        """The part that is kept, within the part that is read."""
        return self.output_slice(1, self.low)

    def output_slice(self, magnification: int, origin: int) -> slice:
        """Return the part that is kept, in a result that is `magnification` times larger and begins at `origin`."""
        return slice(magnification * (self.start - origin), magnification * (self.stop - origin))

    @property
    def read(self) -> slice:
        """The part that is read."""
        return slice(self.low, self.high)


def spans(start: int, stop: int, limit: int, receptive_field: int, length: int) -> list[Span]:
    """Cut `start` to `stop` of an axis of `length` into equal parts of at most `limit`, read with the overlap."""
    count = -(-(stop - start) // limit)
    cuts = [start + (stop - start) * index // count for index in range(count + 1)]
    return [
        Span(first, last, max(first - receptive_field, 0), min(last + receptive_field, length))
        for first, last in pairwise(cuts)
    ]


@dataclass(frozen=True)
class Tile:
    """A rectangle of a picture: a span of its rows and one of its columns."""

    rows: Span
    columns: Span


def tiles(height: int, width: int, limit: int, receptive_field: int) -> list[Tile]:
    """Return the tiles of an image, each of at most `limit` pixels a side without the overlap."""
    columns = spans(0, width, limit, receptive_field, width)
    return [Tile(rows, column) for rows in spans(0, height, limit, receptive_field, height) for column in columns]


def in_tiles(
    x: Tensor,
    run: Callable[[Tensor, Tile], Tensor],
    *,
    channels: int,
    magnification: int,
    receptive_field: int,
    limit: int,
    report: Callable[[int], None] | None = None,
) -> Tensor:
    """Apply `run` to `x`, a tile at a time; when memory runs out, the tiles are halved and the work goes on.

    Args:
        x: (1, C, H, W).
        run: maps the part of `x` that a tile reads, (1, C, h, w), and the tile to the result of the part that is kept,
            on any device.
        channels: channels of the result.
        magnification: how many times larger the result is.
        receptive_field: pixels of `x`, in each direction, that a pixel of the result depends on.
        limit: the largest side of the part of a tile that is kept.
        report: called after each tile with the number of pixels of `x` done since the last call.

    Returns:
        (1, channels, magnification H, magnification W), float32, on the device of `x`.

    Raises:
        NotEnoughMemoryError: a tile of `LEAST_TILE` pixels a side does not fit into memory.
    """
    height, width = x.shape[-2:]
    size = magnification * height, magnification * width
    result = torch.empty((1, channels, *size), dtype=torch.float32, device=x.device)
    waiting = deque(tiles(height, width, limit, receptive_field))
    while waiting:
        tile = waiting.popleft()
        rows, columns = tile.rows, tile.columns
        if max(rows.stop - rows.start, columns.stop - columns.start) > limit:
            parts = [
                Tile(row, column)
                for row in spans(rows.start, rows.stop, limit, receptive_field, height)
                for column in spans(columns.start, columns.stop, limit, receptive_field, width)
            ]
            waiting.extendleft(reversed(parts))
            continue
        try:
            output = run(x[..., rows.read, columns.read], tile)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if limit <= LEAST_TILE:
                raise NotEnoughMemoryError(
                    f"a tile of {limit}x{limit} pixels does not fit into the memory that is left; free some"
                ) from error
            output = None
        if output is None:  # outside the handler, whose error keeps the tile's tensors alive
            limit = max(limit // 2, LEAST_TILE)
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
            waiting.appendleft(tile)
            continue
        result[..., rows.output_slice(magnification, 0), columns.output_slice(magnification, 0)] = output
        if report is not None:
            report((rows.stop - rows.start) * (columns.stop - columns.start))
    return result


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch could not allocate memory, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
