"""Validation during training: scores on a benchmark, and sheets of sample images."""

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

from ..checks import spell
from ..data.benchmarks import Sample, find_benchmark
from ..data.protocols import Case, find_protocol
from ..data.stored_images import to_uint8
from ..errors import FastsrError, InputError
from ..figures.sheets import in_rows, side_by_side
from ..images import read
from ..metrics import lr_consistency, psnr, ssim
from ..metrics.color import PEAK
from ..metrics.reference import WINDOW

SHOWN = 4
"""The number of images on a sheet."""
LARGEST_SIDE = 256
"""The largest side of an image on a sheet, in pixels of HR."""

Upscale = Callable[[Tensor], Tensor]
"""A function that upscales one image (1, C, h, w) in [0, 1] to (1, C, factor h, factor w)."""


class Validation:
    """A benchmark by the protocol "rgb8", whose images are kept in memory with 8 bits.

    Attributes:
        name: name of the benchmark with a digest of its images; only scores with the same name are comparable.

    Args:
        folder: folder of the benchmark, see `fastsr.data.benchmarks.find_benchmark`.
        factor: scale factor.

    Raises:
        InputError, MissingFileError: see `find_benchmark`.
        InputError: an image cannot be read, is too small for SSIM, or has an LR file of the wrong size.
    """

    def __init__(self, folder: str | Path, factor: int):
        self._factor, self._protocol = factor, find_protocol("rgb8")
        benchmark = find_benchmark(folder, factor)
        self._cases = [self._prepare(sample, folder) for sample in benchmark.samples]
        digest = hashlib.blake2b(digest_size=8)
        for case in self._cases:
            for image in (case.lr, case.hr):
                digest.update(str(tuple(image.shape)).encode())
                digest.update(image.contiguous().numpy().data)
        self.name = f"{benchmark.name} of digest {digest.hexdigest()}"

    def scores(self, upscale: Upscale) -> dict[str, float]:
        """Return the mean scores over the images: "psnr" in dB and "ssim", both on Y, and "consistency" in dB.

        Consistency is `metrics.lr_consistency`: the PSNR between the input and the downscaled result. It is infinite
        for a result that reproduces its input exactly; such a result counts as one with the smallest error that 8 bits
        allow, one value that is off by one level, so that the mean stays finite: 77 dB for an input of 16x16.
        """
        shave, rounding = self._protocol.shave_y(self._factor), self._protocol.rounding
        scores = []
        for case in self._cases:
            result = _run(upscale, case.lr)
            quality = [metric(result, case.hr, shave=shave, protocol=rounding) for metric in (psnr, ssim)]
            scores.append([*quality, _consistency(result, case)])
        means = (fmean(cast("list[float]", values)) for values in zip(*scores, strict=True))
        return dict(zip(("psnr", "ssim", "consistency"), means, strict=True))

    def samples(self) -> list[tuple[Tensor, Tensor]]:
        """Return LR and HR of the middle of the first few images, for `sheet`."""
        return [_crop_center(case.lr, case.hr, self._factor) for case in self._cases[:SHOWN]]

    def _prepare(self, sample: Sample, folder: str | Path) -> Case:
        problem = f"{spell('val', str(folder))} has the image {sample.name!r}, which cannot be used"
        try:
            case = self._protocol.prepare(sample, self._factor)
        except FastsrError as error:
            raise InputError(f"{problem}: {error}") from error
        height, width = case.hr.shape[-2:]
        least = WINDOW + 2 * self._protocol.shave_y(self._factor)
        if min(height, width) < least:
            factor = spell("factor", self._factor)
            raise InputError(
                f"{problem}: at {factor} it has {width}x{height} pixels, and SSIM needs {least} on each side"
            )
        return case


def sheet(upscale: Upscale, images: Sequence[tuple[Tensor, Tensor]]) -> Image.Image:
    """Return a sheet with LR, result and HR side by side, a row for each pair (LR, HR), both uint8 (C, H, W)."""
    rows = []
    for lr, hr in images:
        factor = hr.shape[-1] // lr.shape[-1]
        large = lr.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
        rows.append(side_by_side([("LR", large), ("result", _run(upscale, lr)), ("HR", hr)]))
    return in_rows(rows)


def _run(upscale: Upscale, lr: Tensor) -> Tensor:
    with torch.no_grad():
        return to_uint8(upscale(read(lr).pixels))


def _consistency(result: Tensor, case: Case) -> float:
    smallest_error = 10 * math.log10(PEAK**2 * case.lr.numel())  # one value is off by one level
    return min(cast("float", lr_consistency(result, case.lr, downscale=case.downscale)), smallest_error)


def _crop_center(lr: Tensor, hr: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Return the middle of LR and HR, at most `LARGEST_SIDE` pixels of HR on each side."""
    sides = [min(side, LARGEST_SIDE // factor) for side in lr.shape[-2:]]
    top, left = ((side - kept) // 2 for side, kept in zip(lr.shape[-2:], sides, strict=True))
    small = lr[:, top : top + sides[0], left : left + sides[1]]
    top, left, height, width = (factor * number for number in (top, left, *sides))
    return small, hr[:, top : top + height, left : left + width]
