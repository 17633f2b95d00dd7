"""Pictures, or one part of all of them, to be compared by eye."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from .checks import whole_number
from .device import require_memory
from .errors import InputError, InputTypeError
from .images import Picture, read, single
from .metrics import psnr
from .sheets import in_rows, opaque, side_by_side

LARGEST_SIDE = 512
"""Of pictures that are shown as a whole where no crop is asked for."""
SIDE = 256
"""Of the part that is shown of larger ones; what is smaller is enlarged, up to this."""
CELL = 32
"""The grid on which that part is looked for, in pixels; it divides the side."""
PER_ROW = 6
"""Pictures beside one another, at the most."""
COPIES = 4
"""Of every picture drawn: itself, as it is pasted, and the sheets of a row and of all; one is in float32 at a time."""

Size = tuple[int, int]
Box = tuple[int, int, int, int]


def compare(
    *pictures: Any,
    titles: Sequence[str] | None = None,
    crop: Box | None = None,
    zoom: int | None = None,
    original: Any = None,
) -> Image.Image:
    """Draw pictures, or one part of all of them, side by side under titles.

    All are shown at the size of the largest: a smaller one, such as the input of a method, is enlarged by nearest
    neighbour, so that its pixels are seen. More than six pictures take several rows.

    Args:
        pictures: of any kind that `fastsr.images.read` takes, of one shape and any size; also lists, batches, and the
            samples of `fastsr.sr3`.
        titles: one for each argument; the pictures of a list or batch are numbered. By default the names of files,
            else a, b, c and so on.
        crop: the part to show, (left, top, right, bottom) in pixels of the largest picture, as Pillow has it. By
            default the whole, or where a side has more than 512 pixels the 256x256 with most detail.
        zoom: how many pixels a pixel of the largest picture takes on each side; by default as many as there is room
            for in 256.
        original: what the pictures should be; it is shown last. Titles of pictures of its size get the PSNR of the
            whole picture in dB, as `fastsr.metrics.psnr` gives it by default: on luma, with nothing shaved.

    Returns:
        An RGB picture, which a notebook shows.

    Raises:
        InputError, InputTypeError: a picture that cannot be used, pictures of different shapes, a crop that is not
            inside the largest one, or another number of titles than of arguments.
        NotEnoughMemoryError: what is to be drawn does not fit into memory.
        MissingFileError: there is no such file.
    """
    shown = _titled(pictures, titles)
    if original is not None:
        shown = _scored(shown, original)
    # Of the largest ones the last: the original, where there is one.
    largest = max(reversed(shown), key=lambda one: one.image.width * one.image.height)
    for one in shown:
        _check_shape(one, largest)
    box = _with_detail(largest.image) if crop is None else _checked_box(crop, largest.image.size)
    width, height = box[2] - box[0], box[3] - box[1]
    times = max(SIDE // max(width, height), 1) if zoom is None else _checked_zoom(zoom)
    require_memory(3 * width * height * times**2 * COPIES * (len(shown) + 2), torch.device("cpu"), "the comparison")
    columns = [(one.title, _part(one.image, box, largest.image.size, times)) for one in shown]
    per_row = math.ceil(len(columns) / math.ceil(len(columns) / PER_ROW))
    return in_rows([side_by_side(columns[first : first + per_row]) for first in range(0, len(columns), per_row)])


@dataclass(frozen=True, eq=False)
class _Shown:
    """One picture, its title, and what errors call it."""

    title: str
    name: str
    picture: Picture

    @cached_property
    def image(self) -> Image.Image:
        return opaque(self.picture)


def _titled(arguments: Sequence[Any], titles: Sequence[str] | None) -> list[_Shown]:
    """Return every picture of all arguments."""
    if not arguments:
        raise InputError("no pictures were given; give at least one")
    if titles is not None:
        _check_titles(titles, len(arguments))
    groups = [
        [(image, what, one) for image, what in single(argument, f"pictures[{index}]") for one in _each(image, what)]
        for index, argument in enumerate(arguments)
    ]
    found = [one for group in groups for one in group]
    if titles is None:
        names = _names([image for image, _, _ in found])
    else:
        names = [
            title if len(group) == 1 else f"{title} {number}"
            for title, group in zip(titles, groups, strict=True)
            for number in range(1, len(group) + 1)
        ]
    return [_Shown(title, what, one) for title, (_, what, one) in zip(names, found, strict=True)]


def _check_titles(titles: Sequence[str], count: int) -> None:
    if not isinstance(titles, (list, tuple)) or not all(isinstance(title, str) for title in titles):
        raise InputTypeError(f"titles={titles!r} are no titles; give a list of text, one for each picture")
    if len(titles) != count:
        raise InputError(f"titles={tuple(titles)!r} is not one title for each of the {count} pictures")


def _each(image: Any, name: str) -> Iterator[Picture]:
    """Yield an image, or the pictures of a batch."""
    batch = read(image, name)
    for index in range(len(batch.pixels)):
        one = slice(index, index + 1)
        yield replace(batch, pixels=batch.pixels[one], alpha=None if batch.alpha is None else batch.alpha[one])


def _names(images: Sequence[Any]) -> list[str]:
    """Return the names of files, their paths where two have one name, and letters for what is no file."""
    files = [_file_of(image) for image in images]
    stems = [Path(file).stem for file in files]
    return [
        (stem if stems.count(stem) == 1 else file) or (ascii_lowercase[index : index + 1] or str(index + 1))
        for index, (stem, file) in enumerate(zip(stems, files, strict=True))
    ]


def _file_of(image: Any) -> str:
    """Return the path of a file, or of the one that an image was opened from; nothing where there is none."""
    path = image if isinstance(image, (str, os.PathLike)) else getattr(image, "filename", None)
    return os.fsdecode(path or "")


def _scored(shown: Sequence[_Shown], original: Any) -> list[_Shown]:
    """Return the pictures, with PSNR behind the titles of those of its size, and the original."""
    there = read(original, "original")
    if len(there.pixels) > 1:
        raise InputError(f"original is a batch of {len(there.pixels)} pictures; give the one that all should be")
    scored = []
    for one in shown:
        if one.picture.pixels.shape[-2:] == there.pixels.shape[-2:]:
            one = replace(one, title=f"{one.title} {psnr(one.picture, there):.2f} dB")
        scored.append(one)
    return [*scored, _Shown("original", "original", there)]


def _check_shape(one: _Shown, largest: _Shown) -> None:
    """Refuse a picture that is no smaller version of the largest: its sides may be off by less than a pixel."""
    (width, height), (whole_width, whole_height) = one.image.size, largest.image.size
    if abs(width * whole_height - height * whole_width) >= max(whole_width, whole_height):
        raise InputError(
            f"{one.name} has {width}x{height} pixels and {largest.name} {whole_width}x{whole_height}; pictures to "
            "compare have one shape"
        )


def _checked_box(crop: Any, size: Size) -> Box:
    right = "(left, top, right, bottom) in pixels of the largest picture, {}x{}".format(*size)
    crop = crop.tolist() if isinstance(crop, np.ndarray) else crop
    if not isinstance(crop, (tuple, list)) or len(crop) != 4:
        raise InputTypeError(f"crop={crop!r} is no box; give {right}")
    left, top, end, bottom = (whole_number("crop", value, right) for value in crop)
    if not (0 <= left < end <= size[0] and 0 <= top < bottom <= size[1]):
        raise InputError(f"crop={crop!r} is not inside the largest picture, or is empty; give {right}")
    return left, top, end, bottom


def _checked_zoom(zoom: int) -> int:
    right = "a whole number of pixels, at least 1"
    if whole_number("zoom", zoom, right) < 1:
        raise InputError(f"zoom={zoom} leaves nothing to see; give {right}")
    return zoom


def _with_detail(image: Image.Image) -> Box:
    """Return the part of a picture in which brightness changes most, or the whole of one that is not large."""
    width, height = image.size
    if max(width, height) <= LARGEST_SIDE:
        return 0, 0, width, height
    grey = torch.from_numpy(np.asarray(image.convert("L"), np.float32))
    changes = F.pad(grey.diff(dim=0).abs(), (0, 0, 0, 1)) + F.pad(grey.diff(dim=1).abs(), (0, 1))
    cell = min(CELL, width, height)
    cells = F.avg_pool2d(changes[None], cell)[0]
    rows, columns = (min(SIDE // cell, count) for count in cells.shape)
    sums = F.avg_pool2d(cells[None], (rows, columns), 1)[0]
    row, column = divmod(int(sums.argmax()), sums.shape[1])
    left, top = column * cell, row * cell
    return left, top, left + columns * cell, top + rows * cell


def _part(image: Image.Image, box: Box, whole: Size, times: int) -> Image.Image:
    """Return the part of a picture that `box` is of one of the size `whole`, each pixel of that as a square."""
    across, down = (side / large for side, large in zip(image.size, whole, strict=True))
    left, top, right, bottom = box
    size = (right - left) * times, (bottom - top) * times
    return image.resize(size, Image.Resampling.NEAREST, (left * across, top * down, right * across, bottom * down))
