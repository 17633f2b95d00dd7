"""A face cut out of a picture, upright and of a given size, and put back in."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import whole_number
from ..device import require_memory
from ..errors import InputError
from ..images import Picture, read
from ..imresize import imresize
from .faces import Face, Square

FEATHER = 0.2
"""The part of the way from the edge of the square to its centre over which what is put back fades in."""
COPIES = 4
"""Of the pixels that are sampled, in memory at a time."""


def align(img: Any, face: Face, side: int) -> Any:
    """Cut the square of a face out of a picture, upright, as FFHQ's pictures show faces.

    Where the square leaves the picture, the picture goes on mirrored. A square that is larger than `side` is made
    smaller by the antialiased bicubic kernel.

    Args:
        img: one picture of any kind; see `fastsr.images.read`.
        face: its place in the picture, which `find_faces` tells.
        side: of the result, in pixels.

    Returns:
        The square, side x side, of the kind of picture that came.

    Raises:
        InputError, InputTypeError: what cannot be used, named in the message.
        NotEnoughMemoryError: it does not fit into memory.
    """
    picture, right = _one(img, "img"), "a side in pixels, at least 1"
    side = whole_number("side", side, right)
    if side < 1:
        raise InputError(f"side={side} leaves nothing; give {right}")
    square = face.square
    # No sample is further from the next than a pixel of the picture: none is left out.
    fine = side * max(math.ceil(square.side / side), 1)
    needed = COPIES * picture.pixels.shape[1] * fine**2 * picture.pixels.element_size()
    require_memory(needed, picture.pixels.device, f"a face of {fine}x{fine} pixels")
    height, width = picture.pixels.shape[-2:]
    across = (torch.arange(fine, dtype=torch.float64) + 0.5) / fine * 2 - 1
    u, v = across[None], across[:, None]
    x = square.centre[0] + u * square.half[0] - v * square.half[1]
    y = square.centre[1] + u * square.half[1] + v * square.half[0]
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], -1)

    def cut(pixels: Tensor) -> Tensor:
        seen = _sampled(pixels, grid, "reflection")
        return seen if fine == side else imresize(seen, size=(side, side)).clamp(0, 1)

    return picture.map(cut, cut)


def paste(img: Any, face: Face, result: Any) -> Any:
    """Put a picture of an aligned face back to where the face is.

    Towards the edge of its square it fades into the picture. Outside nothing changes.

    Args:
        img: the picture that the face is in; for one that was enlarged since, give `face.scaled(factor)`.
        face: its place in the picture.
        result: what was made of `align(img, face, side)`, a square of any size. Where it has more pixels than its place
            in the picture, it is made smaller by the antialiased bicubic kernel: enlarge the picture to keep them.

    Returns:
        The picture, of the kind that came, with the comment of `result`.

    Raises:
        InputError, InputTypeError: what cannot be used, named in the message.
    """
    picture, made, square = _one(img, "img"), _one(result, "result"), face.square
    height, width = made.pixels.shape[-2:]
    if height != width:
        raise InputError(f"result has {width}x{height} pixels; give the square that was made of an aligned face")
    if made.pixels.shape[1] != picture.pixels.shape[1]:
        raise InputError(
            f"result has {made.pixels.shape[1]} channels and img {picture.pixels.shape[1]}; give both grey or both RGB"
        )
    if made.comment is not None:
        picture = replace(picture, comment=made.comment)
    rows, columns, grid = _place(square, (picture.pixels.shape[-2], picture.pixels.shape[-1]))
    weight = _weight(grid)
    fits = max(min(width, math.ceil(square.side)), 1)

    def sampled(pixels: Tensor) -> Tensor:
        pixels = pixels.to(picture.pixels.device)
        if fits < width:
            pixels = imresize(pixels, size=(fits, fits)).clamp(0, 1)
        return _sampled(pixels, grid, "border")

    weight = weight.to(picture.pixels)
    there = (..., rows, columns)
    colours, alpha = picture.pixels.clone(), picture.alpha
    if alpha is None:
        colours[there] = torch.lerp(colours[there], sampled(made.pixels), weight)
        return picture.like(colours)
    opacity = torch.ones_like(made.pixels[:, :1]) if made.alpha is None else made.alpha
    new = torch.lerp(alpha[there], sampled(opacity), weight)
    mixed = torch.lerp(picture.premultiplied[there], sampled(made.premultiplied), weight)
    visible = (weight > 0) & (new > 0)
    colours[there] = torch.where(visible, mixed / torch.where(visible, new, 1), colours[there])
    alpha = alpha.clone()
    alpha[there] = new
    return picture.like(colours, alpha)


def _one(img: Any, name: str) -> Picture:
    picture = read(img, name)
    if len(picture.pixels) != 1:
        raise InputError(f"{name} is a batch of {len(picture.pixels)} pictures; give one")
    return picture


def _sampled(pixels: Tensor, grid: Tensor, padding: str) -> Tensor:
    """Return (1, C, H, W) at the places (height, width, 2) from -1 to 1, by bicubic interpolation, in [0, 1]."""
    places = grid[None].to(pixels)
    return F.grid_sample(pixels, places, mode="bicubic", padding_mode=padding, align_corners=False).clamp(0, 1)


def _place(square: Square, size: tuple[int, int]) -> tuple[slice, slice, Tensor]:
    """Return the rows and columns around a square in a picture of `size`, and where in the square their pixels are.

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
