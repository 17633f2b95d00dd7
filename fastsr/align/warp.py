"""Crop a face from an image, upright and at a given size, and paste a result back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import input_error, whole_number
from ..errors import InputError
from ..images import Picture, read
from ..imresize import imresize
from ..runtime.memory import require_memory
from .faces import Face, Square

FEATHER = 0.2
"""A pasted face fades in over this fraction of the way from the edge of the square to its centre."""
COPIES = 4
"""Copies of the sampled pixels in memory at a time."""


def align(img: Any, face: Face, side: int) -> Any:
    """Crop the square of a face from an image, upright, as in FFHQ.

    Beyond the edge of the image its mirror image is used. A square that is larger than `side` is downscaled by the
    antialiased bicubic kernel.

    Args:
        img: one image of any kind; see `fastsr.images.read`.
        face: the face in the image, as `find_faces` returns it.
        side: height and width of the result in pixels.

    Returns:
        The square, side x side, of the kind of `img`.

    Raises:
        InputError, InputTypeError: an argument cannot be used; the message names it.
        NotEnoughMemoryError: the square does not fit into memory.
    """
    image, right = _read_one(img, "img"), "a side in pixels, at least 1"
    side = whole_number("side", side, right)
    if side < 1:
        raise input_error("side", side, "leaves nothing", f"give {right}")
    square = face.square
    # Samples are at most a pixel of the image apart, so that no pixel is skipped.
    fine = side * max(math.ceil(square.side / side), 1)
    needed = COPIES * image.pixels.shape[1] * fine**2 * image.pixels.element_size()
    require_memory(needed, image.pixels.device, f"a face of {fine}x{fine} pixels")
    height, width = image.pixels.shape[-2:]
    across = (torch.arange(fine, dtype=torch.float64) + 0.5) / fine * 2 - 1
    u, v = across[None], across[:, None]
    x = square.centre[0] + u * square.half[0] - v * square.half[1]
    y = square.centre[1] + u * square.half[1] + v * square.half[0]
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], -1)

    def crop(pixels: Tensor) -> Tensor:
        sampled = _sample(pixels, grid, "reflection")
        return sampled if fine == side else imresize(sampled, size=(side, side)).clamp(0, 1)

    return image.map(crop, crop)


def paste(img: Any, face: Face, result: Any) -> Any:
    """Paste a result for an aligned face back into the image that the face is from.

    It fades into the image towards the edge of its square. Outside the square nothing changes.

    Args:
        img: the image with the face; if it was upscaled meanwhile, give `face.scaled(factor)`.
        face: the face in the image.
        result: the result of a method for `align(img, face, side)`, a square of any size. If it has more pixels than
            the square in the image, it is downscaled by the antialiased bicubic kernel: upscale the image first to keep
            them.

    Returns:
        The image, of the kind of `img`, with the comment of `result`.

    Raises:
        InputError, InputTypeError: an argument cannot be used; the message names it.
    """
    image, face_image, square = _read_one(img, "img"), _read_one(result, "result"), face.square
    height, width = face_image.pixels.shape[-2:]
    if height != width:
        raise InputError(f"result has {width}x{height} pixels; give a square, the result for an aligned face")
    channels, image_channels = face_image.pixels.shape[1], image.pixels.shape[1]
    if channels != image_channels:
        raise InputError(f"result has {channels} channels and img {image_channels}; give both grey or both RGB")
    if face_image.comment is not None:
        image = replace(image, comment=face_image.comment)
    rows, columns, grid = _locate(square, (image.pixels.shape[-2], image.pixels.shape[-1]))
    weight = _weight(grid).to(image.pixels)
    fits = max(min(width, math.ceil(square.side)), 1)

    def sample(pixels: Tensor) -> Tensor:
        pixels = pixels.to(image.pixels.device)
        if fits < width:
            pixels = imresize(pixels, size=(fits, fits)).clamp(0, 1)
        return _sample(pixels, grid, "border")

    region = (..., rows, columns)
    pixels, alpha = image.pixels.clone(), image.alpha
    if alpha is None:
        pixels[region] = torch.lerp(pixels[region], sample(face_image.pixels), weight)
        return image.like(pixels)
    opacity = torch.ones_like(face_image.pixels[:, :1]) if face_image.alpha is None else face_image.alpha
    new_alpha = torch.lerp(alpha[region], sample(opacity), weight)
    premultiplied = torch.lerp(image.premultiplied[region], sample(face_image.premultiplied), weight)
    visible = (weight > 0) & (new_alpha > 0)
    pixels[region] = torch.where(visible, premultiplied / torch.where(visible, new_alpha, 1), pixels[region])
    alpha = alpha.clone()
    alpha[region] = new_alpha
    return image.like(pixels, alpha)


def _read_one(img: Any, name: str) -> Picture:
    """Read one image; an error for a batch."""
    image = read(img, name)
    if len(image.pixels) != 1:
        raise InputError(f"{name} is a batch of {len(image.pixels)} images; give one")
    return image


def _sample(pixels: Tensor, grid: Tensor, padding: str) -> Tensor:
    """Sample (1, C, H, W) at `grid`, (rows, columns, 2) as x and y from -1 to 1, by the bicubic kernel, in [0, 1]."""
    grid = grid[None].to(pixels)
    return F.grid_sample(pixels, grid, mode="bicubic", padding_mode=padding, align_corners=False).clamp(0, 1)


def _locate(square: Square, size: tuple[int, int]) -> tuple[slice, slice, Tensor]:
    """Return the rows and columns around a square in an image of `size` (H, W), and their pixels' places in the square.

    The places are (rows, columns, 2), x and y from -1 to 1 within the square.
    """
    extent = sum(map(abs, square.half))
    (left, right), (top, bottom) = (
        (min(max(math.floor(centre - extent), 0), length), min(max(math.ceil(centre + extent), 0), length))
        for centre, length in zip(square.centre, reversed(size), strict=True)
    )
    x = torch.arange(left, right, dtype=torch.float64)[None] + (0.5 - square.centre[0])
    y = torch.arange(top, bottom, dtype=torch.float64)[:, None] + (0.5 - square.centre[1])
    a, b = (value / (square.side / 2) ** 2 for value in square.half)
    return slice(top, bottom), slice(left, right), torch.stack([a * x + b * y, a * y - b * x], -1)


def _weight(places: Tensor) -> Tensor:
    """Return the weight of the pasted face at `places`, (rows, columns, 2): from 0 at the edge of the square to 1."""
    inside = ((1 - places.abs().amax(-1)) / FEATHER).clamp(0, 1)
    return inside.square() * (3 - 2 * inside)
