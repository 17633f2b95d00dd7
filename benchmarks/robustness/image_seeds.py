"""Small image files of every kind that fastsr reads, from which the fuzzer makes damaged ones."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin

from fastsr.codecs import FORMATS, encode

SIDES = 7, 5
ORIENTATION = 0x0112
PROFILE = b"\0\0\0\x80" + bytes(124)
"""The length of a profile and its header, which nobody looks at here."""


def seeds() -> dict[str, bytes]:
    """Return image files by name; the suffix says the format."""
    return dict(_seeds())


def _seeds() -> Iterator[tuple[str, bytes]]:
    colour = Image.fromarray(_values(3))
    grey, deep = colour.convert("L"), Image.fromarray(_values(1).astype(np.uint16)[..., 0] * 257)
    alpha, grey_alpha = Image.fromarray(_values(4)), Image.fromarray(_values(4)).convert("LA")
    palette, bilevel, cmyk = colour.quantize(8), grey.convert("1"), colour.convert("CMYK")
    exif = Image.Exif()
    exif[ORIENTATION] = 6

    for name, image in {"rgb": colour, "l": grey, "rgba": alpha, "la": grey_alpha, "p": palette, "1": bilevel}.items():
        yield f"{name}.png", _saved(image, "PNG")
        yield f"{name}.tif", _saved(image, "TIFF")
    yield "16.png", _saved(deep, "PNG")
    yield "interlaced.png", _interlaced()
    text = PngImagePlugin.PngInfo()
    text.add_text("Description", "a picture", zip=True)
    text.add_itxt("Comment", "ein Bild", lang="de")
    yield "facts.png", _saved(colour, "PNG", pnginfo=text, icc_profile=PROFILE, dpi=(300, 300), exif=exif)
    yield "transparent.png", _saved(palette, "PNG", transparency=bytes([0, 128, 255]))
    yield "key.png", _saved(colour, "PNG", transparency=(1, 2, 3))
    yield "animated.png", _saved(colour, "PNG", save_all=True, append_images=[colour.rotate(180)])
    for channels in (2, 3, 4):
        deep_values = _values(4).astype(np.uint16)[..., :channels] * 257
        yield f"16_{channels}.png", _encoded(deep_values, ".png")
        yield f"16_{channels}.tif", _encoded(deep_values, ".tif")

    yield "rgb.jpg", _saved(colour, "JPEG", icc_profile=PROFILE, dpi=(72, 72), comment="a picture", exif=exif)
    yield "progressive.jpg", _saved(colour, "JPEG", progressive=True)
    yield "l.jpg", _saved(grey, "JPEG")
    yield "cmyk.jpg", _saved(cmyk, "JPEG")
    yield "pictures.mpo", _saved(colour, "MPO", save_all=True, append_images=[colour])

    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield f"{compression}.tif", _saved(colour, "TIFF", compression=compression, icc_profile=PROFILE)
    yield "group4.tif", _saved(bilevel, "TIFF", compression="group4")
    yield "cmyk.tif", _saved(cmyk, "TIFF", dpi=(300, 300))
    yield "float.tif", _saved(grey.convert("F").point(lambda value: value / 255), "TIFF")
    yield "integer.tif", _saved(grey.convert("I"), "TIFF")
    yield "16.tif", _saved(deep, "TIFF")
    yield "lab.tif", _saved(Image.frombytes("LAB", SIDES, bytes(3 * SIDES[0] * SIDES[1])), "TIFF")
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[ORIENTATION] = 8
    yield "turned.tif", _saved(colour, "TIFF", tiffinfo=tags)
    yield "pages.tif", _saved(colour, "TIFF", save_all=True, append_images=[grey])

    yield "lossless.webp", _saved(alpha, "WEBP", lossless=True, icc_profile=PROFILE, exif=exif)
    yield "lossy.webp", _saved(colour, "WEBP")
    yield "animated.webp", _saved(colour, "WEBP", save_all=True, append_images=[colour.rotate(180)])
    yield "still.gif", _saved(palette, "GIF", transparency=0)
    yield "animated.gif", _saved(palette, "GIF", save_all=True, append_images=[palette.rotate(180)], loop=0)
    for name, image in {"rgb": colour, "p": palette, "1": bilevel}.items():
        yield f"{name}.bmp", _saved(image, "BMP", dpi=(96, 96))
    yield "rgb.ppm", _saved(colour, "PPM")
    yield "deep.pgm", _saved(deep, "PPM")
    yield "1.pbm", _saved(bilevel, "PPM")
    yield "rgb.tga", _saved(alpha, "TGA", compression="tga_rle")
    yield "rgb.jp2", _saved(colour, "JPEG2000")
    yield "rgb.ico", _saved(alpha, "ICO", sizes=[SIDES])
    yield "nothing.png", b""
    yield "text.jpg", b"no picture"


def _values(channels: int) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 256, (SIDES[1], SIDES[0], channels), np.uint8)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.copy().save(file, kind, **options)  # JPEG leaves its options in the image
    return file.getvalue()


def _encoded(values: np.ndarray, suffix: str) -> bytes:
    file = io.BytesIO()
    encode(file, values, FORMATS[suffix], PROFILE, (300.0, 300.0), "a picture")
    return file.getvalue()


def _interlaced() -> bytes:
    """Return a PNG of 1x1 grey pixel with Adam7: Pillow writes none."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 1)),
        (b"IDAT", zlib.compress(b"\0\x80")),
        (b"IEND", b""),
    ]
    chunks = [struct.pack(">I", len(data)) + name + data + bytes(4) for name, data in parts]
    return with_checksums(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def with_checksums(data: bytes) -> bytes:
    """Return a PNG file with the right checksum after every chunk, as far as there are whole chunks."""
    made, place = bytearray(data), 8
    while place + 12 <= len(made):
        end = place + 8 + struct.unpack_from(">I", made, place)[0]
        if end + 4 > len(made):
            break
        struct.pack_into(">I", made, end, zlib.crc32(made[place + 4 : end]))
        place = end + 4
    return bytes(made)
