"""Images, or the same crop of each, side by side, to compare by eye."""

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

from ..checks import input_error, whole_number
from ..errors import InputError, InputTypeError
from ..images import Picture, flatten, read
from ..metrics import psnr
from ..runtime.memory import require_memory
from .sheets import in_rows, opaque, side_by_side

LARGEST_SIDE = 512
"""Images with no longer side, in pixels, are shown as a whole unless a crop is given."""
SIDE = 256
"""Side in pixels of the crop shown of larger images; smaller ones are upscaled up to this."""
CELL = 32
"""Pixels between the crops that are tried; a divisor of `SIDE`."""
PER_ROW = 6
"""The most images in a row."""
COPIES = 4
"""Copies of every image in memory: the image, its crop, the sheet of its row and of all rows."""

Size = tuple[int, int]
"""(width, height) in pixels."""
Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels."""


def compare(
    *pictures: Any,
    titles: Sequence[str] | None = None,
    crop: Box | None = None,
    zoom: int | None = None,
    original: Any = None,
) -> Image.Image:
    """Draw images, or the same crop of each, side by side with titles.

    All are shown at the size of the largest: a smaller one, such as the input of a method, is upscaled by nearest
    neighbour, so that its pixels are visible. More than six images take several rows.

    Args:
        pictures: images of any kind that `fastsr.images.read` takes, of one aspect ratio and any size; also lists,
            batches, and the samples of `fastsr.sr3`.
        titles: one for each argument; the images of a list or batch are numbered. By default the names of files, else
            a, b, c and so on.
        crop: the part to show, (left, top, right, bottom) in pixels of the largest image, as in Pillow. By default the
            whole image, or where a side has more than 512 pixels the 256x256 with most detail.
        zoom: the side in pixels at which a pixel of the largest image is drawn; by default the largest that makes the
            crop at most 256 wide and high.
        original: the ground truth; it is shown last. Titles of images of its size get the PSNR of the whole image in
            dB, with the defaults of `fastsr.metrics.psnr`: on luma, without cropping the border.

    Returns:
        An RGB image, which a notebook shows.

    Raises:
        InputError, InputTypeError: an image cannot be used, images have different aspect ratios, the crop is not inside
            the largest one, or titles and arguments differ in number.
        NotEnoughMemoryError: the comparison does not fit into memory.
        MissingFileError: a file does not exist.
    """
    panels = _make_panels(pictures, titles)
    if original is not None:
        panels = _add_original(panels, original)
    # The last of the largest ones: the original, if there is one.
    largest = max(reversed(panels), key=lambda panel: panel.opaque.width * panel.opaque.height)
    for panel in panels:
        _check_shape(panel, largest)
    box = _find_detail(largest.opaque) if crop is None else _check_box(crop, largest.opaque.size)
    width, height = box[2] - box[0], box[3] - box[1]
    times = max(SIDE // max(width, height), 1) if zoom is None else _check_zoom(zoom)
    require_memory(3 * width * height * times**2 * COPIES * (len(panels) + 2), torch.device("cpu"), "the comparison")
    columns = [(panel.title, _crop(panel.opaque, box, largest.opaque.size, times)) for panel in panels]
    per_row = math.ceil(len(columns) / math.ceil(len(columns) / PER_ROW))
    return in_rows([side_by_side(columns[first : first + per_row]) for first in range(0, len(columns), per_row)])


@dataclass(frozen=True, eq=False)
class _Panel:
    """One image, its title, and its name in errors."""

    title: str
    name: str
    image: Picture

    @cached_property
    def opaque(self) -> Image.Image:
        """The image as it is drawn: 8-bit RGB, composited over white."""
        return opaque(self.image)


def _make_panels(arguments: Sequence[Any], titles: Sequence[str] | None) -> list[_Panel]:
    """Return a panel for every image of all arguments."""
    if not arguments:
        raise InputError("no images were given; give at least one")
    if titles is not None:
        _check_titles(titles, len(arguments))
    groups = [
        [(img, name, image) for img, name in flatten(argument, f"pictures[{index}]") for image in _split(img, name)]
        for index, argument in enumerate(arguments)
    ]
    found = [one for group in groups for one in group]
    if titles is None:
        all_titles = _default_titles([img for img, _, _ in found])
    else:
        all_titles = [
            title if len(group) == 1 else f"{title} {number}"
            for title, group in zip(titles, groups, strict=True)
            for number in range(1, len(group) + 1)
        ]
    return [_Panel(title, name, image) for title, (_, name, image) in zip(all_titles, found, strict=True)]


def _check_titles(titles: Sequence[str], count: int) -> None:
    if not isinstance(titles, (list, tuple)) or not all(isinstance(title, str) for title in titles):
        advice = "give a list of strings, one for each image"
        raise input_error("titles", titles, "are not titles", advice, kind=InputTypeError)
    if len(titles) != count:
        raise input_error("titles", tuple(titles), f"is not one title for each of the {count} images")


def _split(img: Any, name: str) -> Iterator[Picture]:
    """Yield an image, or each image of a batch, as a batch of one."""
    batch = read(img, name)
    for index in range(len(batch.pixels)):
        one = slice(index, index + 1)
        yield replace(batch, pixels=batch.pixels[one], alpha=None if batch.alpha is None else batch.alpha[one])


def _default_titles(images: Sequence[Any]) -> list[str]:
    """Return the names of files, their paths where two have the same name, and letters for images without a file."""
    files = [_file_of(img) for img in images]
    stems = [Path(file).stem for file in files]
    return [
        (stem if stems.count(stem) == 1 else file) or (ascii_lowercase[index : index + 1] or str(index + 1))
        for index, (stem, file) in enumerate(zip(stems, files, strict=True))
    ]


def _file_of(img: Any) -> str:
    """Return the path of an image's file, also of a PIL image opened from one; "" without a file."""
    path = img if isinstance(img, (str, os.PathLike)) else getattr(img, "filename", None)
    return os.fsdecode(path or "")


def _add_original(panels: Sequence[_Panel], original: Any) -> list[_Panel]:
    """Return the panels and that of the original, with the PSNR after the titles of images of its size."""
    reference = read(original, "original")
    if len(reference.pixels) > 1:
        raise InputError(f"original is a batch of {len(reference.pixels)} images; give one, the ground truth of all")
    scored = []
    for panel in panels:
        if panel.image.pixels.shape[-2:] == reference.pixels.shape[-2:]:
            panel = replace(panel, title=f"{panel.title} {psnr(panel.image, reference):.2f} dB")
        scored.append(panel)
    return [*scored, _Panel("original", "original", reference)]


def _check_shape(panel: _Panel, largest: _Panel) -> None:
    """Check that an image is a smaller version of the largest: its sides may be off by less than a pixel."""
    (width, height), (whole_width, whole_height) = panel.opaque.size, largest.opaque.size
    if abs(width * whole_height - height * whole_width) >= max(whole_width, whole_height):
        raise InputError(
            f"{panel.name} has {width}x{height} pixels and {largest.name} {whole_width}x{whole_height}; images to "
            "compare must have the same aspect ratio"
        )


def _check_box(crop: Any, size: Size) -> Box:
    """Return `crop` as a box inside an image of `size`."""
    right = "(left, top, right, bottom) in pixels of the largest image, {}x{}".format(*size)
    crop = crop.tolist() if isinstance(crop, np.ndarray) else crop
    if not isinstance(crop, (tuple, list)) or len(crop) != 4:
        raise input_error("crop", crop, "is not a box", f"give {right}", kind=InputTypeError)
    left, top, end, bottom = (whole_number("crop", value, right) for value in crop)
    if not (0 <= left < end <= size[0] and 0 <= top < bottom <= size[1]):
        raise input_error("crop", crop, "is not inside the largest image, or is empty", f"give {right}")
    return left, top, end, bottom


def _check_zoom(zoom: int) -> int:
    right = "a whole number of pixels, at least 1"
    if whole_number("zoom", zoom, right) < 1:
        raise input_error("zoom", zoom, "leaves nothing to see", f"give {right}")
    return zoom


def _find_detail(image: Image.Image) -> Box:
    """Return the crop in which brightness changes most; the whole image if it is not large."""
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


def _crop(image: Image.Image, box: Box, whole: Size, times: int) -> Image.Image:
    """Return the crop `box` of an image, given in pixels of size `whole`, each drawn as `times` x `times` pixels."""
    across, down = (side / large for side, large in zip(image.size, whole, strict=True))
    left, top, right, bottom = box
    size = (right - left) * times, (bottom - top) * times
    return image.resize(size, Image.Resampling.NEAREST, (left * across, top * down, right * across, bottom * down))
