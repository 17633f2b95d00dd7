"""Sheets of images: side by side or one below another, with titles."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ..images import read

TEXT_HEIGHT = 16
"""Height of a title in pixels."""
MARGIN = 6
"""Pixels between images, and around title and sheet."""
TOP = TEXT_HEIGHT + 2 * MARGIN
"""Pixels above the first image of a column."""
LONGEST_TITLE = 320
"""The largest width of a title over a narrower image, in pixels."""
ELLIPSIS = "…"
MISSING = "\uffff"
"""A character that no font has."""
INK = (32, 32, 32)
"""The RGB colour of titles."""
PAPER = (255, 255, 255)
"""The RGB colour of the background."""


def side_by_side(images: Sequence[tuple[str, Any]]) -> Image.Image:
    """Return an RGB sheet of `images`, (title, image of any kind), side by side and aligned at the top."""
    return in_columns([(title, [img]) for title, img in images])


def in_columns(columns: Sequence[tuple[str, Sequence[Any]]]) -> Image.Image:
    """Return an RGB sheet of columns, (title, images of any kind), with the images of each one below another."""
    opaque_columns = [(title, [opaque(img) for img in images]) for title, images in columns]
    sheet = Image.new("RGB", sheet_size([(title, _stack_size(images)) for title, images in opaque_columns]), PAPER)
    draw = ImageDraw.Draw(sheet)
    left = MARGIN
    for title, images in opaque_columns:
        width = _stack_size(images)[0]
        draw.text((left, MARGIN), fit_title(title, width), fill=INK, font=_font())
        top = TOP
        for image in images:
            sheet.paste(image, (left, top))
            top += image.height + MARGIN
        left += _column_width(title, width) + MARGIN
    return sheet


def in_rows(sheets: Sequence[Image.Image]) -> Image.Image:
    """Return an RGB sheet of `sheets`, one below another."""
    whole = Image.new("RGB", (max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets)), PAPER)
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole


def sheet_size(sizes: Sequence[tuple[str, tuple[int, int]]]) -> tuple[int, int]:
    """Return the (width, height) in pixels of `side_by_side` for images given as (title, (width, height))."""
    width = sum(_column_width(title, size[0]) + MARGIN for title, size in sizes) + MARGIN
    return width, TOP + max(size[1] for _, size in sizes) + MARGIN


def _stack_size(images: Sequence[Image.Image]) -> tuple[int, int]:
    """Return the (width, height) of images one below another."""
    return max(image.width for image in images), sum(image.height + MARGIN for image in images) - MARGIN


def _column_width(title: str, width: int) -> int:
    """Return the width of a column of images of that width under a title."""
    return max(width, _length(fit_title(title, width)))


def fit_title(title: str, width: int) -> str:
    """Return a title as it is drawn over an image of that width in pixels: a long one loses letters in its middle."""
    text = drawable(title)
    limit = max(width, LONGEST_TITLE)
    if _length(text) <= limit:
        return text
    fits, too_many = 0, len(text) - 1  # numbers of letters kept
    while too_many - fits > 1:
        kept = (fits + too_many) // 2
        if _length(_shorten(text, kept)) <= limit:
            fits = kept
        else:
            too_many = kept
    return _shorten(text, fits)


def _shorten(text: str, kept: int) -> str:
    """Return the first and the last letters of a text, `kept` in all, with an ellipsis between them."""
    return text[: (kept + 1) // 2] + ELLIPSIS + text[len(text) - kept // 2 :]


def drawable(title: str) -> str:
    """Return a title in letters that the font has: other letters without accents, or else as question marks."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", title) if not unicodedata.combining(letter))
    return "".join(letter if _is_in_font(letter) else "?" for letter in plain)


def _length(text: str) -> int:
    """Return the width of a text in pixels."""
    return round(_font().getlength(text))


@cache
def _is_in_font(letter: str) -> bool:
    return letter.isprintable() and bytes(_font().getmask(letter)) != bytes(_font().getmask(MISSING))


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(TEXT_HEIGHT)


def opaque(img: Any) -> Image.Image:
    """Return an image of any kind as an 8-bit RGB image, composited over white."""
    image = read(img)
    pixels = image.pixels.expand(-1, 3, -1, -1)
    if image.alpha is not None:
        pixels = 1 - image.alpha * (1 - pixels)
    return Image.fromarray((pixels[0] * 255).round().byte().permute(1, 2, 0).cpu().numpy())
