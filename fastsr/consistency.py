"""The downscale operator, its adjoint and its pseudo-inverse: make a result agree with the picture it came from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fastsr_kernels.resample import AxisTable, axis_table, resample


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
        """Return A^+ y = A^T (A A^T)^-1 y, the least-norm picture whose downscale is exactly `y`.

        A A^T is separable, so that the inverse is one small solve an axis, in float64.
        """
        rows, columns = (_gram(table).to(y.device) for table in self.tables)
        solved = torch.linalg.solve(rows, y.double())
        solved = torch.linalg.solve(columns, solved.mT).mT
        return self.adjoint(solved.to(y.dtype))

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the picture nearest to `x` whose downscale is `y`: x + A^+ (y - A x)."""
        return x + self.pseudo_inverse(y - self(x))


def _gram(table: AxisTable) -> Tensor:
    dense = table.dense()
    return dense @ dense.mT
