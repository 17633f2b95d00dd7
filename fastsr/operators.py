"""Linear maps from an image to what was observed of it: the identity, a mask, and one map after another.

Beside `fastsr.operators.Downscale` they are what the tasks of Deep Image Prior are made of. Any differentiable
function of (1, C, H, W) can take their place; `project` is asked for only where a result is to agree with its input.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from fastsr_kernels.resample import AxisTable, axis_table, resample


@runtime_checkable
class Operator(Protocol):
    """A linear map A that can make an image agree with what was observed."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return A x: (1, C, H, W) -> (1, C, h, w)."""

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """Return an image near to `x` of which A makes `y`."""


@dataclass(frozen=True)
class Identity:
    """The image itself was observed."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """Return y."""
        return y


@dataclass(frozen=True, eq=False)
class Mask:
    """Some pixels were observed; the others become 0.

    Attributes:
        known: (1, 1, H, W), 1 where a pixel is known and 0 elsewhere.
    """

    known: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return x where it is known and 0 elsewhere."""
        return x * self.known

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """Return y where it is known and x elsewhere."""
        return y * self.known + x * (1 - self.known)


@dataclass(frozen=True)
class Compose:
    """`second` of what `first` makes of an image, such as a mask over the downscaled picture."""

    first: Operator
    second: Operator

    def __call__(self, x: Tensor) -> Tensor:
        """Return second(first(x))."""
        return self.second(self.first(x))

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """Return an image near to `x` whose `first` is `first(x)` made to agree with `y`."""
        return self.first.project(x, self.second.project(self.first(x), y))


NEGLIGIBLE = 1e-14
"""Entries of the inverse of A A^T that are less than this part of the largest about them are left out."""
COLUMNS = 256
"""Of that inverse, computed at a time: all of them would take memory that grows with the square of a side."""


@dataclass(frozen=True)
class Downscale:
    """A linear downscale from `large` to `small` (height, width), at any ratio: y = A_h x A_w^T.

    With the defaults and an even integer ratio this is the downsampler of Deep Image Prior: Lanczos-2
    stretched by the ratio, phase 0.5, edge pixels replicated.
    """

    large: tuple[int, int]
    small: tuple[int, int]
    kernel: str = "lanczos2"
    border: str = "replicate"

    @cached_property
    def tables(self) -> tuple[AxisTable, AxisTable]:
        """The rows' and the columns' table."""
        rows, columns = (
            axis_table(large, small, kernel=self.kernel, border=self.border)
            for large, small in zip(self.large, self.small, strict=True)
        )
        return rows, columns

    def __call__(self, x: Tensor) -> Tensor:
        """Return A x: (..., H, W) -> (..., h, w)."""
        return resample(x, *self.tables)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A^T y: (..., h, w) -> (..., H, W)."""
        rows, columns = self.tables
        return resample(y, rows.transpose(), columns.transpose())

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        """Return A^+ y = A^T (A A^T)^-1 y, the least-norm image whose downscale is exactly `y`."""
        return self.adjoint(self.solve(y))

    def solve(self, y: Tensor) -> Tensor:
        """Return (A A^T)^-1 y: (..., h, w) -> (..., h, w)."""
        rows, columns = (_inverse_gram(table) for table in self.tables)
        return resample(y, rows, columns)

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the image nearest to `x` whose downscale is `y`: x + A^+ (y - A x)."""
        return x + self.pseudo_inverse(y - self(x))


@lru_cache(maxsize=256)
def _inverse_gram(table: AxisTable) -> AxisTable:
    """Return (A A^T)^-1 of one axis.

    A A^T is banded and its condition number is about 2, so that its inverse falls off exponentially beside the
    diagonal: some 26 neighbours on either side are all that float64 can tell from zero.
    """
    from scipy.linalg import cho_solve_banded, cholesky_banded

    size = table.out_size
    factor = cholesky_banded(_gram(table), lower=True)
    found = []
    for first in range(0, size, COLUMNS):
        columns = cho_solve_banded((factor, True), np.eye(size, min(COLUMNS, size - first), -first))
        row, column = (np.abs(columns) > NEGLIGIBLE * np.abs(columns).max()).nonzero()
        found.append((row, column + first, columns[row, column]))
    row, column, values = (torch.from_numpy(np.concatenate(part)) for part in zip(*found, strict=True))
    reach = int((row - column).abs().max())
    taps = min(2 * reach + 1, size)
    start = (torch.arange(size, device="cpu") - reach).clamp(0, size - taps)
    weights = table.weights.new_zeros(size, taps)
    weights[row, column - start[row]] = values
    return AxisTable(size, size, start, weights)


def _gram(table: AxisTable) -> np.ndarray:
    """Return A A^T of one axis, as its diagonals from the main one down: (diagonals, out_size), float64."""
    from scipy.sparse import csr_array

    output, tap = table.weights.nonzero(as_tuple=True)
    places = output.numpy(), (table.start[output] + tap).numpy()
    factor = csr_array((table.weights[output, tap].numpy(), places), (table.out_size, table.in_size))
    gram = (factor @ factor.T).tocoo()
    below = gram.row - gram.col
    diagonals = np.zeros((below.max() + 1, table.out_size))
    lower = below >= 0
    diagonals[below[lower], gram.col[lower]] = gram.data[lower]
    return diagonals
