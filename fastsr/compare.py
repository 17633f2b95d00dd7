"""Pictures side by side under their titles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .images import read

TEXT_HEIGHT = 16
MARGIN = 6
INK = (32, 32, 32)
PAPER = (255, 255, 255)


def side_by_side(pictures: Sequence[tuple[str, Any]]) -> Image.Image:
    """Return one RGB picture with each of `pictures` (title, image of any kind) beside the one before, tops aligned."""
    font = ImageFont.load_default(TEXT_HEIGHT)
    top = TEXT_HEIGHT + 2 * MARGIN
    columns = [(title, opaque(img)) for title, img in pictures]
    widths = [max(picture.width, round(font.getlength(title))) for title, picture in columns]
    height = max(picture.height for _, picture in columns)
    sheet = Image.new("RGB", (sum(widths) + MARGIN * (len(columns) + 1), top + height + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    left = MARGIN
    for (title, picture), width in zip(columns, widths, strict=True):
        draw.text((left, MARGIN), title, fill=INK, font=font)
        sheet.paste(picture, (left, top))
        left += width + MARGIN
    return sheet


def opaque(img: Any) -> Image.Image:
    """Return an image of any kind as an 8-bit RGB picture, transparency laid over white."""
    picture = read(img)
    pixels = picture.pixels.expand(-1, 3, -1, -1)
    if picture.alpha is not None:
        pixels = 1 - picture.alpha * (1 - pixels)
    return Image.fromarray((pixels[0] * 255).round().byte().permute(1, 2, 0).numpy().astype(np.uint8))
