"""Agreement with the input: the downscale operator, its adjoint and pseudo-inverse, and results made to agree.

`project` is for pictures of any kind; methods use `agree` for tensors and `remade_to_agree` for a `Picture`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastsr_kernels.resample import AxisTable, axis_table, resample

from .device import require_memory
from .errors import InputError
from .images import TOLERANCE, Picture, arranged, read, several, single
from .imresize import KERNELS, check_options, imresize

NEGLIGIBLE = 1e-14
"""Entries of the inverse of A A^T that are less than this part of the largest about them are left out."""
COLUMNS = 256
"""Of that inverse, computed at a time: all of them would take memory that grows with the square of a side."""
CLOSE = 0.25 / 255
"""How near the downscale of a result is to come, in every pixel: in 8 bits it is the input."""
ROUNDS = 50
"""At the most, for pictures that no colours can be made to agree with."""
COPIES = 4
"""Pictures of the result's size, beside the one that is made to agree, that are in memory at a time."""


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
        """Return A^+ y = A^T (A A^T)^-1 y, the least-norm picture whose downscale is exactly `y`."""
        return self.adjoint(self.solve(y))

    def solve(self, y: Tensor) -> Tensor:
        """Return (A A^T)^-1 y: (..., h, w) -> (..., h, w)."""
        rows, columns = (_inverse_gram(table) for table in self.tables)
        return resample(y, rows, columns)

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the picture nearest to `x` whose downscale is `y`: x + A^+ (y - A x)."""
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


def project(sr: Any, lr: Any, *, kernel: str = "bicubic") -> Any:
    """Return the picture nearest to `sr` whose downscale is `lr`, with colours in [0, 1].

    Downscaled is as `fastsr.resize(result, size=(h, w), kernel=kernel)` does it, at any ratio. No gradient flows
    through.

    Args:
        sr: what a method made of `lr`, of any size that is not smaller: a picture of any kind that `images.read`
            takes, or a sequence or batch of them.
        lr: the picture or pictures that it was made from, with the same channels.
        kernel: how `lr` was made small, or is taken to be: bicubic, lanczos2, lanczos3, linear or box.

    Returns:
        The picture, of the kind and dtype of `sr`; a list for a sequence. Its downscale is within 0.25 / 255 of `lr`,
        but where no colours in [0, 1] have such a downscale, as beside pixels that were clipped; there it is as near
        as 50 rounds come. Integers are then rounded. Alpha stays that of `sr`; the colours of the downscale, which
        `resize` weights by alpha, are those of `lr` where that is visible.

    Raises:
        InputError: `sr` and `lr` differ in number or channels, `lr` is larger, or `kernel` is unknown.
        NotEnoughMemoryError: the work does not fit into memory.
    """
    large, small = single(sr, "sr"), single(lr, "lr")
    if several(sr) != several(lr) or len(large) != len(small):
        raise InputError(f"sr has {_number(sr, large)} and lr has {_number(lr, small)}; give them in pairs")
    return arranged(sr, (_project(*pair, kernel) for pair in zip(large, small, strict=True)))


def remade_to_agree(lr: Picture, premultiplied: Tensor, kernel: str = "bicubic") -> Any:
    """Return `lr.remade(premultiplied)`, with colours that agree with `lr` as those of `project` do."""
    if lr.alpha is None:
        return lr.remade(agree(premultiplied, lr.pixels, kernel))
    alpha = imresize(lr.alpha, size=tuple(premultiplied.shape[-2:])).clamp(0, 1)
    return lr.remade(_agree_where_visible(premultiplied, alpha, lr, kernel), alpha)


@torch.no_grad()
def agree(sr: Tensor, lr: Tensor, kernel: str = "bicubic", *, ceiling: Tensor | None = None) -> Tensor:
    """Return the pictures nearest to `sr` whose downscale is `lr`, in [0, 1]; see `project`.

    Args:
        sr: (N, C, H, W), float32 or float64.
        lr: (N, C, h, w) of the same dtype and device, h <= H and w <= W.
        kernel: as for `project`.
        ceiling: (N, 1, H, W), the largest value of each pixel; None for 1.

    Returns:
        (N, C, H, W); each picture is what it would be alone.

    Raises:
        NotEnoughMemoryError: the work does not fit into memory.
    """
    large, small = ((x.shape[-2], x.shape[-1]) for x in (sr, lr))
    operator = Downscale(large, small, kernel=KERNELS[kernel], border="symmetric")
    needed = sr.nbytes + (COPIES - 1) * sr[:1].nbytes
    require_memory(needed, sr.device, f"making a result of {large[1]}x{large[0]} pixels agree with its input")
    result = torch.empty_like(sr)
    for n in range(len(sr)):
        result[n] = _nearest(sr[n], lr[n], operator, None if ceiling is None else ceiling[n])
    return result


def _nearest(start: Tensor, y: Tensor, operator: Downscale, ceiling: Tensor | None) -> Tensor:
    """Return the picture x nearest to `start`, from 0 to `ceiling`, with A x = y.

    Its dual problem has no bounds: x is start + A^T m, clipped, and the gradient for m is y - A x. This is its ascent
    by Nesterov's method, with (A A^T)^-1 as the step, so that the first round is `Downscale.project`. Without the
    momentum the rounds would be those of alternating projections, of which it takes several times as many.
    """

    def clipped(x: Tensor) -> Tensor:
        return x.clamp_(0, 1) if ceiling is None else torch.minimum(x.clamp_(min=0), ceiling)

    missing = y - operator(start)
    before = m = torch.zeros_like(y)
    pace = 1.0
    for _ in range(ROUNDS):
        now = m + operator.solve(missing)
        next_pace = (1 + math.sqrt(1 + 4 * pace**2)) / 2
        m = torch.lerp(before, now, 1 + (pace - 1) / next_pace)
        before, pace = now, next_pace
        x = clipped(operator.adjoint(m).add_(start))
        missing = y - operator(x)
        if missing.abs().amax() <= CLOSE:
            break
    return x


def _agree_where_visible(premultiplied: Tensor, alpha: Tensor, lr: Picture, kernel: str) -> Tensor:
    """Return colours multiplied by `alpha`, (N, 1, H, W), whose downscale by `resize` has the colours of `lr`."""
    assert lr.alpha is not None
    weight = imresize(alpha, size=tuple(lr.alpha.shape[-2:]), kernel=kernel)
    visible = lr.alpha.to(alpha.device) > TOLERANCE
    wanted = torch.where(visible, lr.pixels.to(alpha.device) * weight, 0)
    return agree(premultiplied, wanted, kernel, ceiling=alpha)


def _project(sr: tuple[Any, str], lr: tuple[Any, str], kernel: str) -> Any:
    large, small = read(*sr), read(*lr)
    size = (small.pixels.shape[-2], small.pixels.shape[-1])
    check_options(None, size, kernel, "symmetric")
    first, second = f"{sr[1]} is {_what(large)}", f"{lr[1]} is {_what(small)}"
    if large.pixels.shape[:2] != small.pixels.shape[:2] or (large.alpha is None) != (small.alpha is None):
        raise InputError(f"{first} and {second}; give as many pictures of the same channels")
    if large.pixels.shape[-2] < size[0] or large.pixels.shape[-1] < size[1]:
        raise InputError(f"{first} and {second}; lr is the smaller one")
    if large.alpha is None:
        return large.like(agree(large.pixels, small.pixels.to(large.pixels.device), kernel))
    return large.remade(_agree_where_visible(large.premultiplied, large.alpha, small, kernel), large.alpha)


def _what(picture: Picture) -> str:
    count, channels, height, width = picture.pixels.shape
    colours = "grey" if channels == 1 else "RGB"
    alpha = "" if picture.alpha is None else " and alpha"
    batch = "" if count == 1 else f"{count} times "
    return f"{batch}{width}x{height} pixels of {colours}{alpha}"


def _number(images: Any, found: list[tuple[Any, str]]) -> str:
    return f"a list of {len(found)}" if several(images) else "one image"
