"""A face cut out of an image, upright and of a given size, and put back in."""

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
"""The part of the way from the edge of the square to its centre over which what is put back fades in."""
COPIES = 4
"""Of the pixels that are sampled, in memory at a time."""


def align(img: Any, face: Face, side: int) -> Any:
    """Cut the square of a face out of an image, upright, as FFHQ's images show faces.

    Where the square leaves the image, the image goes on mirrored. A square that is larger than `side` is made
    smaller by the antialiased bicubic kernel.

    Args:
        img: one image of any kind; see `fastsr.images.read`.
        face: its place in the image, which `find_faces` tells.
        side: of the result, in pixels.

    Returns:
        The square, side x side, of the kind of image that came.

    Raises:
        InputError, InputTypeError: what cannot be used, named in the message.
        NotEnoughMemoryError: it does not fit into memory.
    """
    image, right = _one(img, "img"), "a side in pixels, at least 1"
    side = whole_number("side", side, right)
    if side < 1:
        raise input_error("side", side, "leaves nothing", f"give {right}")
    square = face.square
    # No sample is further from the next than a pixel of the image: none is left out.
    fine = side * max(math.ceil(square.side / side), 1)
    needed = COPIES * image.pixels.shape[1] * fine**2 * image.pixels.element_size()
    require_memory(needed, image.pixels.device, f"a face of {fine}x{fine} pixels")
    height, width = image.pixels.shape[-2:]
    across = (torch.arange(fine, dtype=torch.float64) + 0.5) / fine * 2 - 1
    u, v = across[None], across[:, None]
    x = square.centre[0] + u * square.half[0] - v * square.half[1]
    y = square.centre[1] + u * square.half[1] + v * square.half[0]
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], -1)

    def cut(pixels: Tensor) -> Tensor:
        seen = _sampled(pixels, grid, "reflection")
        return seen if fine == side else imresize(seen, size=(side, side)).clamp(0, 1)

    return image.map(cut, cut)


def paste(img: Any, face: Face, result: Any) -> Any:
    """Put an image of an aligned face back to where the face is.

    Towards the edge of its square it fades into the picture. Outside nothing changes.

    Args:
        img: the image that the face is in; for one that was upscaled since, give `face.scaled(factor)`.
        face: its place in the picture.
        result: what was made of `align(img, face, side)`, a square of any size. Where it has more pixels than its place
            in the image, it is downscaled by the antialiased bicubic kernel: upscale the image to keep them.

    Returns:
        The image, of the kind that came, with the comment of `result`.

    Raises:
        InputError, InputTypeError: what cannot be used, named in the message.
    """
    image, made, square = _one(img, "img"), _one(result, "result"), face.square
    height, width = made.pixels.shape[-2:]
    if height != width:
        raise InputError(f"result has {width}x{height} pixels; give the square that was made of an aligned face")
    if made.pixels.shape[1] != image.pixels.shape[1]:
        raise InputError(
            f"result has {made.pixels.shape[1]} channels and img {image.pixels.shape[1]}; give both grey or both RGB"
        )
    if made.comment is not None:
        image = replace(image, comment=made.comment)
    rows, columns, grid = _place(square, (image.pixels.shape[-2], image.pixels.shape[-1]))
    weight = _weight(grid)
    fits = max(min(width, math.ceil(square.side)), 1)

    def sampled(pixels: Tensor) -> Tensor:
        pixels = pixels.to(image.pixels.device)
        if fits < width:
            pixels = imresize(pixels, size=(fits, fits)).clamp(0, 1)
        return _sampled(pixels, grid, "border")

    weight = weight.to(image.pixels)
    there = (..., rows, columns)
    colours, alpha = image.pixels.clone(), image.alpha
    if alpha is None:
        colours[there] = torch.lerp(colours[there], sampled(made.pixels), weight)
        return image.like(colours)
    opacity = torch.ones_like(made.pixels[:, :1]) if made.alpha is None else made.alpha
    new = torch.lerp(alpha[there], sampled(opacity), weight)
    mixed = torch.lerp(image.premultiplied[there], sampled(made.premultiplied), weight)
    visible = (weight > 0) & (new > 0)
    colours[there] = torch.where(visible, mixed / torch.where(visible, new, 1), colours[there])
    alpha = alpha.clone()
    alpha[there] = new
    return image.like(colours, alpha)


def _one(img: Any, name: str) -> Picture:
    image = read(img, name)
    if len(image.pixels) != 1:
        raise InputError(f"{name} is a batch of {len(image.pixels)} images; give one")
    return image


def _sampled(pixels: Tensor, grid: Tensor, padding: str) -> Tensor:
    """Return (1, C, H, W) at the places (height, width, 2) from -1 to 1, by bicubic interpolation, in [0, 1]."""
    places = grid[None].to(pixels)
    return F.grid_sample(pixels, places, mode="bicubic", padding_mode=padding, align_corners=False).clamp(0, 1)


def _place(square: Square, size: tuple[int, int]) -> tuple[slice, slice, Tensor]:
    """Return the rows and columns around a square in an image of `size`, and where in the square their pixels are.

    The places are (rows, columns, 2), from -1 to 1 within the square.
    """
    reach = sum(map(abs, square.half))
    (left, right), (top, bottom) = (
        (min(max(math.floor(centre - reach), 0), length), min(max(math.ceil(centre + reach), 0), length))
        for centre, length in zip(square.centre, reversed(size), strict=True)
    )
    x = torch.arange(left, right, dtype=torch.float64)[None] + (0.5 - square.centre[0])
    y = torch.arange(top, bottom, dtype=torch.float64)[:, None] + (0.5 - square.centre[1])
    a, b = (value / (square.side / 2) ** 2 for value in square.half)
    return slice(top, bottom), slice(left, right), torch.stack([a * x + b * y, a * y - b * x], -1)


def _weight(places: Tensor) -> Tensor:
    """Return how much of what is put back is seen at each place: 0 at the edge of the square and outside, 1 within."""
    inside = ((1 - places.abs().amax(-1)) / FEATHER).clamp(0, 1)
    return inside.square() * (3 - 2 * inside)
