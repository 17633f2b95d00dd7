"""What a network in training makes of the pictures of a benchmark: scores, and sheets to look at."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import cast

import torch
from PIL import Image
from torch import Tensor

from ..data.benchmarks import Sample, find_benchmark
from ..data.protocols import Case, eight_bits, find_protocol
from ..errors import FastsrError, InputError
from ..images import read
from ..metrics import WINDOW, lr_consistency, psnr, ssim
from ..planes import PEAK
from ..sheets import in_rows, side_by_side

SHOWN = 4
"""Pictures of a sheet."""
LARGEST_SIDE = 256
"""Of what is shown of a picture, in pixels of the reference."""

Upscale = Callable[[Tensor], Tensor]
"""Maps one picture (1, C, h, w) in [0, 1] to (1, C, factor h, factor w)."""


class Validation:
    """A benchmark by the protocol rgb8, whose pictures are kept in memory as 8-bit ones.

    Attributes:
        name: of the benchmark, with a digest of its pictures; only scores of the same name can be compared.

    Args:
        folder: see `fastsr.data.benchmarks.find_benchmark`.
        factor: of the enlargement.

    Raises:
        InputError, MissingFileError: as `find_benchmark`.
        InputError: a picture cannot be read, is too small for SSIM, or has an LR file of another size.
    """

    def __init__(self, folder: str | Path, factor: int):
        self._factor, self._protocol = factor, find_protocol("rgb8")
        benchmark = find_benchmark(folder, factor)
        self._cases = [self._prepared(sample, folder) for sample in benchmark.samples]
        digest = hashlib.blake2b(digest_size=8)
        for case in self._cases:
            for picture in (case.lr, case.hr):
                digest.update(str(tuple(picture.shape)).encode())
                digest.update(picture.contiguous().numpy().data)
        self.name = f"{benchmark.name} of digest {digest.hexdigest()}"

    def scores(self, upscale: Upscale) -> dict[str, float]:
        """Return the means over the pictures of "psnr", in dB, and "ssim", both on Y, and of "consistency".

        Consistency is `metrics.lr_consistency` in dB, by how inputs are made where there are no LR files: a result is
        made smaller and compared with the input that it was made from. One that explains every pixel of its input
        counts as one that misses a single value by one level, the least that 8 bits can miss, for a mean with infinity
        would say nothing of the other pictures: 77 dB for an input of 16x16.
        """
        shave, rounding = self._protocol.shave_y(self._factor), self._protocol.rounding
        found = []
        for case in self._cases:
            made = _made(upscale, case.lr)
            scores = [compare(made, case.hr, shave=shave, protocol=rounding) for compare in (psnr, ssim)]
            found.append([*scores, _consistency(made, case)])
        means = (fmean(cast("list[float]", values)) for values in zip(*found, strict=True))
        return dict(zip(("psnr", "ssim", "consistency"), means, strict=True))

    def shown(self) -> list[tuple[Tensor, Tensor]]:
        """Return the middle of the first few pictures for `sheet`."""
        return [_middle(case.lr, case.hr, self._factor) for case in self._cases[:SHOWN]]

    def _prepared(self, sample: Sample, folder: str | Path) -> Case:
        what = f"val={str(folder)!r} has the picture {sample.name!r}, which cannot be used"
        try:
            case = self._protocol.prepare(sample, self._factor)
        except FastsrError as error:
            raise InputError(f"{what}: {error}") from error
        height, width = case.hr.shape[-2:]
        least = WINDOW + 2 * self._protocol.shave_y(self._factor)
        if min(height, width) < least:
            raise InputError(
                f"{what}: at factor={self._factor} it has {width}x{height} pixels, and SSIM needs {least} on each side"
            )
        return case


def sheet(upscale: Upscale, pictures: Sequence[tuple[Tensor, Tensor]]) -> Image.Image:
    """Return LR, result and HR of pictures (LR, HR), both uint8 (C, H, W), beside one another."""
    rows = []
    for lr, hr in pictures:
        factor = hr.shape[-1] // lr.shape[-1]
        large = lr.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
        rows.append(side_by_side([("LR", large), ("result", _made(upscale, lr)), ("HR", hr)]))
    return in_rows(rows)


def _made(upscale: Upscale, lr: Tensor) -> Tensor:
    with torch.no_grad():
        return eight_bits(upscale(read(lr).pixels))


def _consistency(made: Tensor, case: Case) -> float:
    least = 10 * math.log10(PEAK**2 * case.lr.numel())  # of one value that is missed by one level
    return min(cast("float", lr_consistency(made, case.lr, downscale=case.downscale)), least)


def _middle(lr: Tensor, hr: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    sides = [min(side, LARGEST_SIDE // factor) for side in lr.shape[-2:]]
    top, left = ((side - kept) // 2 for side, kept in zip(lr.shape[-2:], sides, strict=True))
    small = lr[:, top : top + sides[0], left : left + sides[1]]
    top, left, height, width = (factor * number for number in (top, left, *sides))
    return small, hr[:, top : top + height, left : left + width]
