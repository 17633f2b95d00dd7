"""The results of an evaluation: one row a picture and their mean, on the terminal and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import fmean

from ..files import atomic_write

MEAN = "mean"
HEADER = ("image", "size", "PSNR Y", "PSNR RGB", "SSIM", "LR-PSNR", "seconds")
CSV_HEADER = ("image", "width", "height", "psnr_y", "psnr_rgb", "ssim", "lr_psnr", "seconds")
COLUMN_WIDTH = 9


@dataclass(frozen=True)
class Row:
    """The result on one picture.

    Attributes:
        image: its name.
        width, height: of the reference, in pixels.
        psnr_y, psnr_rgb: in dB.
        ssim: on Y.
        lr_psnr: `metrics.lr_consistency` in dB; infinity for a result that explains every pixel of its input.
        seconds: what the method took.
    """

    image: str
    width: int
    height: int
    psnr_y: float
    psnr_rgb: float
    ssim: float
    lr_psnr: float
    seconds: float


@dataclass(frozen=True)
class Mean:
    """The means over all pictures."""

    psnr_y: float
    psnr_rgb: float
    ssim: float
    lr_psnr: float
    seconds: float


def mean_of(rows: Sequence[Row]) -> Mean:
    """Return the mean of at least one row."""
    return Mean(
        psnr_y=fmean(row.psnr_y for row in rows),
        psnr_rgb=fmean(row.psnr_rgb for row in rows),
        ssim=fmean(row.ssim for row in rows),
        lr_psnr=fmean(row.lr_psnr for row in rows),
        seconds=fmean(row.seconds for row in rows),
    )


def cells(row: Row) -> list[str]:
    """Return a row as it is shown, below `HEADER`."""
    return [row.image, f"{row.width}x{row.height}", *_numbers(row)]


def mean_cells(mean: Mean, name: str = MEAN) -> list[str]:
    """Return the mean as it is shown, below `HEADER`, under a name."""
    return [name, "", *_numbers(mean)]


def line(values: Sequence[str], names: Sequence[str]) -> str:
    """Return `values` as one aligned line of a table whose pictures have these `names`."""
    width = max(map(len, (*names, MEAN, HEADER[0])))
    return values[0].ljust(width) + "".join(f"  {value:>{COLUMN_WIDTH}}" for value in values[1:])


def html_table(rows: Sequence[Row], mean: Mean | None) -> str:
    """Return the rows and their mean as an HTML table."""
    lines = [list(HEADER), *map(cells, rows), *([] if mean is None else [mean_cells(mean)])]
    cells_of = ("".join(f"<td>{escape(cell)}</td>" for cell in each) for each in lines)
    return f"<table>{''.join(f'<tr>{each}</tr>' for each in cells_of)}</table>"


def write_csv(rows: Sequence[Row], path: Path, name: str = MEAN) -> None:
    """Write the rows and, last, their mean under a name, with all their digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    writer.writerows([row.image, row.width, row.height, *_values(row)] for row in rows)
    writer.writerow([name, "", "", *_values(mean_of(rows))])
    with atomic_write(path) as file:
        file.write(text.getvalue().encode("utf-8", "backslashreplace"))  # file names need not be UTF-8


def _values(row: Row | Mean) -> Iterator[float]:
    yield from (row.psnr_y, row.psnr_rgb, row.ssim, row.lr_psnr, row.seconds)


def _numbers(row: Row | Mean) -> Iterator[str]:
    for value, digits in zip(_values(row), (3, 3, 4, 2, 2), strict=True):
        yield f"{value:.{digits}f}"
