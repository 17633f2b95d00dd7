"""The banded matrix of a one-dimensional resampling, with MATLAB's geometry, built in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class AxisTable:
    """A linear map from `in_size` to `out_size` samples whose rows are zero outside a band of `taps` neighbours.

    Output i is ``sum_k weights[i, k] * x[start[i] + k]``. The border rule is folded into the weights, so that every
    index lies inside the input.
    """

    in_size: int
    out_size: int
    start: Tensor
    """First input index of each output, int64, (out_size,)."""
    weights: Tensor
    """Weights, float64, (out_size, taps), on the CPU."""
    copies: dict[Hashable, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)
    """What an implementation has made of this table (blocks, on a device, in a dtype), kept as long as the table."""

    @property
    def taps(self) -> int:
        """Width of the band."""
        return self.weights.shape[1]

    def dense(self) -> Tensor:
        """The map as a float64 matrix, (out_size, in_size): the definition of everything below."""
        index = self.start[:, None] + torch.arange(self.taps, device="cpu")
        return self.weights.new_zeros(self.out_size, self.in_size).scatter_(1, index, self.weights)

    def transpose(self) -> AxisTable:
        """The exact adjoint: the same numbers as a band over the outputs."""
        return self._transposed

    @cached_property
    def _transposed(self) -> AxisTable:
        output, tap = self.weights.nonzero(as_tuple=True)
        return _banded(self.start[output] + tap, output, self.weights[output, tap], self.out_size, self.in_size)

    def blocks(self, size: int, span_multiple: int = 1, start_multiple: int = 1) -> tuple[Tensor, Tensor]:
        """The band as a row of dense matrices, one for every `size` outputs.

        Outputs ``b * size ... b * size + size - 1`` are ``weights[b] @ x[start[b] : start[b] + span]``. The last block
        is filled up with zero rows. With both multiples 1 every span lies inside the input; otherwise the last ones
        may reach past its end, with weight zero.

        Returns:
            start, int64, (blocks,), each a multiple of `start_multiple`; weights, float64, (blocks, size, span), the
            span a multiple of `span_multiple`.
        """
        count = -(-self.out_size // size)
        output, tap = self.weights.nonzero(as_tuple=True)
        index, block = self.start[output] + tap, output // size
        start = block.new_full((count,), self.in_size).scatter_reduce(0, block, index, "amin")
        start = start.clamp(max=self.in_size - 1) // start_multiple * start_multiple
        end = block.new_zeros(count).scatter_reduce(0, block, index + 1, "amax")
        span = max(1, int((end - start).amax()))
        span = -(-span // span_multiple) * span_multiple
        if span_multiple == start_multiple == 1:
            start = start.clamp(max=self.in_size - span)
        weights = self.weights.new_zeros(count, size, span)
        weights[block, output % size, index - start[block]] = self.weights[output, tap]
        return start, weights


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution kernel with a = -0.5."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, 0.0))


def _lanczos(lobes: int) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.where(x.abs() < lobes, torch.sinc(x) * torch.sinc(x / lobes), 0.0)


def _linear(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp(min=0)


def _box(x: Tensor) -> Tensor:
    return ((x >= -0.5) & (x < 0.5)).to(x.dtype)


def _gaussian(x: Tensor) -> Tensor:
    """Standard deviation 0.5, cut off after 4 of them."""
    return torch.where(x.abs() < 2, torch.exp(-2 * x**2), 0.0)


KERNELS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "cubic": (_cubic, 4),
    "lanczos2": (_lanczos(2), 4),
    "lanczos3": (_lanczos(3), 6),
    "linear": (_linear, 2),
    "box": (_box, 1),
    "gaussian": (_gaussian, 4),
}
"""Name -> the kernel as a function of the distance in samples, and the width of its support."""

BORDERS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "symmetric": lambda index, size: _mirror(index, 2 * size, -1),
    "replicate": lambda index, size: index.clamp(0, size - 1),
    "reflect": lambda index, size: _mirror(index, max(2 * size - 2, 1), 0),
}
"""Name -> which sample stands in for one outside: c b a|a b c (symmetric), a a a|a b c, c b|a b c (reflect)."""


def _mirror(index: Tensor, period: int, offset: int) -> Tensor:
    index = index % period
    return torch.minimum(index, period + offset - index)


@lru_cache(maxsize=256)
def axis_table(
    in_size: int,
    out_size: int,
    *,
    scale: float | None = None,
    kernel: str = "cubic",
    antialias: bool = True,
    border: str = "symmetric",
) -> AxisTable:
    """Build the table that resamples `in_size` samples to `out_size`, with the geometry of MATLAB's imresize.

    Output x (counted from 1) lies at input position ``x / scale + (1 - 1 / scale) / 2``; with `antialias` the kernel
    is stretched by ``1 / scale`` where that shrinks; the weights of each output sum to 1. With ``kernel="lanczos2"``,
    ``border="replicate"`` and an even integer ratio this is the downsampler of Deep Image Prior.

    Tables are cached: the same arguments give the same object.

    Args:
        in_size: Input samples, at least 1.
        out_size: Output samples, at least 1.
        scale: Output samples per input sample; default ``out_size / in_size``.
        kernel: One of `KERNELS`.
        antialias: Whether to stretch the kernel when shrinking.
        border: One of `BORDERS`.

    Raises:
        ValueError: An argument is out of its range.
    """
    if in_size < 1 or out_size < 1:
        raise ValueError(f"in_size and out_size must be at least 1, not {in_size} and {out_size}")
    scale = out_size / in_size if scale is None else scale
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be a positive number, not {scale}")
    if kernel not in KERNELS:
        raise ValueError(f"kernel must be one of {', '.join(KERNELS)}, not {kernel!r}")
    if border not in BORDERS:
        raise ValueError(f"border must be one of {', '.join(BORDERS)}, not {border!r}")

    function, width = KERNELS[kernel]
    shrink = min(scale, 1.0) if antialias else 1.0
    support = width / shrink
    position = torch.arange(1, out_size + 1, dtype=torch.float64, device="cpu") / scale + 0.5 * (1 - 1 / scale)
    left = (position - support / 2).floor()
    index = left[:, None] + torch.arange(math.ceil(support) + 2, device="cpu")
    weights = function((position[:, None] - index) * shrink)
    weights = weights / weights.sum(1, keepdim=True)

    output, tap = weights.nonzero(as_tuple=True)
    inside = BORDERS[border](index[output, tap].long() - 1, in_size)
    return _banded(output, inside, weights[output, tap], in_size, out_size)


def _banded(output: Tensor, index: Tensor, values: Tensor, in_size: int, out_size: int) -> AxisTable:
    """Collect entries (output, index, value), those of one place added up, into the narrowest band."""
    start = index.new_full((out_size,), in_size).scatter_reduce(0, output, index, "amin")
    last = index.new_zeros(out_size).scatter_reduce(0, output, index, "amax")
    taps = max(1, int((last - start).amax()) + 1)
    start = start.clamp(max=in_size - taps)
    weights = values.new_zeros(out_size, taps).index_put_((output, index - start[output]), values, accumulate=True)
    return AxisTable(in_size, out_size, start, weights)
