"""Sheets of pictures: side by side, and one below another, under titles."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from .images import read

TEXT_HEIGHT = 16
MARGIN = 6
TOP = TEXT_HEIGHT + 2 * MARGIN
LONGEST_TITLE = 320
"""In pixels, over pictures that are narrower."""
CUT = "…"
MISSING = "\uffff"
"""What no font has."""
INK = (32, 32, 32)
PAPER = (255, 255, 255)


def side_by_side(pictures: Sequence[tuple[str, Any]]) -> Image.Image:
    """Return one RGB picture with each of `pictures` (title, image of any kind) beside the one before, tops aligned."""
    return in_columns([(title, [img]) for title, img in pictures])


def in_columns(columns: Sequence[tuple[str, Sequence[Any]]]) -> Image.Image:
    """Return one RGB picture of columns (title, images of any kind), the images of each one below another."""
    shown = [(title, [opaque(img) for img in images]) for title, images in columns]
    sheet = Image.new("RGB", sheet_size([(title, _stack(pictures)) for title, pictures in shown]), PAPER)
    draw = ImageDraw.Draw(sheet)
    left = MARGIN
    for title, pictures in shown:
        width = _stack(pictures)[0]
        draw.text((left, MARGIN), fitted(title, width), fill=INK, font=_font())
        top = TOP
        for picture in pictures:
            sheet.paste(picture, (left, top))
            top += picture.height + MARGIN
        left += _column(title, width) + MARGIN
    return sheet


def in_rows(sheets: Sequence[Image.Image]) -> Image.Image:
    """Return one RGB picture of `sheets`, one below another."""
    whole = Image.new("RGB", (max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets)), PAPER)
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole


def sheet_size(sizes: Sequence[tuple[str, tuple[int, int]]]) -> tuple[int, int]:
    """Return the (width, height) of `side_by_side` for pictures of these titles and (width, height)."""
    width = sum(_column(title, size[0]) + MARGIN for title, size in sizes) + MARGIN
    return width, TOP + max(size[1] for _, size in sizes) + MARGIN


def _stack(pictures: Sequence[Image.Image]) -> tuple[int, int]:
    """Return the (width, height) of pictures one below another."""
    return max(picture.width for picture in pictures), sum(picture.height + MARGIN for picture in pictures) - MARGIN


def _column(title: str, width: int) -> int:
    return max(width, _length(fitted(title, width)))


def fitted(title: str, width: int) -> str:
    """Return a title as it is drawn over a picture of that width: a long one without its middle."""
    whole = text = drawable(title)
    while _length(text) > max(width, LONGEST_TITLE):
        kept = len(text) - len(CUT) - 1
        text = whole[: (kept + 1) // 2] + CUT + whole[len(whole) - kept // 2 :]
    return text


def drawable(title: str) -> str:
    """Return a title in letters that the font has: others without their accents, or else as question marks."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", title) if not unicodedata.combining(letter))
    return "".join(letter if _is_in_font(letter) else "?" for letter in plain)


def _length(text: str) -> int:
    return round(_font().getlength(text))


@cache
def _is_in_font(letter: str) -> bool:
    return letter.isprintable() and bytes(_font().getmask(letter)) != bytes(_font().getmask(MISSING))


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(TEXT_HEIGHT)


def opaque(img: Any) -> Image.Image:
    """Return an image of any kind as an 8-bit RGB picture, transparency laid over white."""
    picture = read(img)
    pixels = picture.pixels.expand(-1, 3, -1, -1)
    if picture.alpha is not None:
        pixels = 1 - picture.alpha * (1 - pixels)
    return Image.fromarray((pixels[0] * 255).round().byte().permute(1, 2, 0).cpu().numpy())
