"""A picture in overlapping tiles, with the result that the whole picture would give.

What a network makes of a pixel depends on the pixels within its reach, so that a tile is read with as many more on
each side, where there are any, and only its middle is kept. At the edge of the picture the tile ends there too, and the
network pads it as it would pad the picture. It holds for convolutions alone: a network that looks at the whole picture,
by attention or by the statistics of a norm, cannot be tiled exactly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .errors import NotEnoughMemoryError

LEAST_TILE = 16
"""The smallest side to which a tile is halved when memory runs out."""


@dataclass(frozen=True)
class Span:
    """A part of an axis.

    Attributes:
        start, stop: what is kept.
        low, high: what is read, which contains it.
    """

    start: int
    stop: int
    low: int
    high: int

    @property
    def kept(self) -> slice:
        """What is kept, counted from where reading begins."""
        return self.placed(1, self.low)

    def placed(self, magnification: int, origin: int) -> slice:
        """What is kept, in a result that is `magnification` times larger and begins at `origin`."""
        return slice(magnification * (self.start - origin), magnification * (self.stop - origin))

    @property
    def read(self) -> slice:
        """What is read."""
        return slice(self.low, self.high)


def spans(start: int, stop: int, limit: int, reach: int, length: int) -> list[Span]:
    """Cut `start` to `stop` of an axis of `length` into parts of one size, at most `limit`, each read with `reach`."""
    count = -(-(stop - start) // limit)
    cuts = [start + (stop - start) * index // count for index in range(count + 1)]
    return [Span(first, last, max(first - reach, 0), min(last + reach, length)) for first, last in pairwise(cuts)]


@dataclass(frozen=True)
class Tile:
    """A rectangle of a picture: a span of its rows and one of its columns."""

    rows: Span
    columns: Span


def tiles(height: int, width: int, limit: int, reach: int) -> list[Tile]:
    """Return the tiles of a picture, each of at most `limit` pixels a side beside the overlap of `reach`."""
    columns = spans(0, width, limit, reach, width)
    return [Tile(rows, column) for rows in spans(0, height, limit, reach, height) for column in columns]


def in_tiles(
    x: Tensor,
    run: Callable[[Tensor, Tile], Tensor],
    *,
    channels: int,
    magnification: int,
    reach: int,
    limit: int,
    report: Callable[[int], None] | None = None,
) -> Tensor:
    """Return what `run` makes of `x`, a tile at a time; where memory runs out, tiles are halved and it goes on.

    Args:
        x: (1, C, H, W).
        run: called with the part of `x` that a tile reads and the tile; returns what it makes of the part kept, on any
            device.
        channels: of the result.
        magnification: how many times larger the result is.
        reach: pixels of `x`, in each direction, that a pixel of the result depends on.
        limit: the largest side of what is kept of a tile.
        report: called after each tile with the pixels of `x` that are done since the last call.

    Returns:
        (1, channels, magnification H, magnification W), float32, where `x` is.

    Raises:
        NotEnoughMemoryError: there is too little for a tile of `LEAST_TILE`.
    """
    height, width = x.shape[-2:]
    size = magnification * height, magnification * width
    result = torch.empty((1, channels, *size), dtype=torch.float32, device=x.device)
    waiting = deque(tiles(height, width, limit, reach))
    while waiting:
        tile = waiting.popleft()
        rows, columns = tile.rows, tile.columns
        if max(rows.stop - rows.start, columns.stop - columns.start) > limit:
            parts = [
                Tile(row, column)
                for row in spans(rows.start, rows.stop, limit, reach, height)
                for column in spans(columns.start, columns.stop, limit, reach, width)
            ]
            waiting.extendleft(reversed(parts))
            continue
        try:
            made = run(x[..., rows.read, columns.read], tile)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if limit <= LEAST_TILE:
                raise NotEnoughMemoryError(
                    f"a tile of {limit}x{limit} pixels does not fit into the memory that is left; free some"
                ) from error
            made = None
        if made is None:  # outside the handler, whose error keeps the tile's tensors alive
            limit = max(limit // 2, LEAST_TILE)
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
            waiting.appendleft(tile)
            continue
        result[..., rows.placed(magnification, 0), columns.placed(magnification, 0)] = made
        if report is not None:
            report((rows.stop - rows.start) * (columns.stop - columns.start))
    return result


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch could not allocate memory, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
