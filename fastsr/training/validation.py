"""What a network in training makes of the pictures of a benchmark: scores, and sheets to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import torch
from PIL import Image
from torch import Tensor

from ..compare import PAPER, side_by_side
from ..data.benchmarks import find_benchmark
from ..data.protocols import eight_bits, find_protocol
from ..images import read

SHOWN = 4
"""Pictures of a sheet."""
LARGEST_SIDE = 256
"""Of what is shown of a picture, in pixels of the reference."""

Upscale = Callable[[Tensor], Tensor]
"""Maps one picture (1, C, h, w) in [0, 1] to (1, C, factor h, factor w)."""


class Validation:
    """A benchmark by the protocol rgb8.

    Args:
        folder: see `fastsr.data.benchmarks.find_benchmark`.
        factor: of the enlargement.

    Raises:
        InputError, MissingFileError: as `find_benchmark`.
    """

    def __init__(self, folder: str | Path, factor: int):
        self._samples, self._factor = find_benchmark(folder, factor).samples, factor
        self._protocol = find_protocol("rgb8")

    def scores(self, upscale: Upscale) -> dict[str, float]:
        """Return the means over the pictures of PSNR, in dB, and of SSIM, both on Y."""
        found = []
        for sample in self._samples:
            case = self._protocol.prepare(sample, self._factor)
            found.append(self._protocol.score(_made(upscale, case.lr), case, self._factor))
        return {"psnr": fmean(scores.psnr_y for scores in found), "ssim": fmean(scores.ssim for scores in found)}

    def shown(self) -> list[tuple[Tensor, Tensor]]:
        """Return the middle of the first few pictures for `sheet`."""
        cases = (self._protocol.prepare(sample, self._factor) for sample in self._samples[:SHOWN])
        return [_middle(case.lr, case.hr, self._factor) for case in cases]


def sheet(upscale: Upscale, pictures: Sequence[tuple[Tensor, Tensor]]) -> Image.Image:
    """Return LR, result and HR of pictures (LR, HR), both uint8 (C, H, W), beside one another."""
    rows = []
    for lr, hr in pictures:
        factor = hr.shape[-1] // lr.shape[-1]
        large = lr.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
        rows.append(side_by_side([("LR", large), ("result", _made(upscale, lr)), ("HR", hr)]))
    whole = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), PAPER)
    top = 0
    for row in rows:
        whole.paste(row, (0, top))
        top += row.height
    return whole


def _made(upscale: Upscale, lr: Tensor) -> Tensor:
    with torch.no_grad():
        return eight_bits(upscale(read(lr).pixels))


def _middle(lr: Tensor, hr: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    sides = [min(side, LARGEST_SIDE // factor) for side in lr.shape[-2:]]
    top, left = ((side - kept) // 2 for side, kept in zip(lr.shape[-2:], sides, strict=True))
    small = lr[:, top : top + sides[0], left : left + sides[1]]
    top, left, height, width = (factor * number for number in (top, left, *sides))
    return small, hr[:, top : top + height, left : left + width]
