"""Image files and PIL images to arrays, and arrays to image files.

Pillow reads and writes the files. It has no mode for colour, or for grey with alpha, at 16 bits a channel: it
drops the low byte on reading and cannot write such files. Here both bytes are read, from PNG and TIFF, and
written. Of other formats comes what Pillow gives.
"""

from __future__ import annotations

import errno
import stat
import struct
import sys
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image, ImageFile, ImageOps, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from .device import require_memory
from .errors import FastsrError, InputError, MissingFileError, NotEnoughMemoryError, OutputError

KEPT_MODES = ("L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I;16L", "I;16N", "I", "F")
# What the other modes become; any mode not named here is converted to RGB.
CONVERTED_MODES = {"1": "L", "La": "LA", "PA": "RGBA", "RGBa": "RGBA"}
# For each layout of 16-bit channels in a file, the layout whose upper byte is its lower byte.
LOWER_BYTE = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}


PNG_COMMENT = "Description"
"""The keyword of a comment in PNG files."""
BYTES_PER_SAMPLE = 6
"""While a file is read: as Pillow holds it, as an array, and as float32."""


@dataclass(frozen=True)
class Raster:
    """Decoded pixels and what their file says about them.

    `values` is (H, W, C): uint8, uint16, or float32 for PIL mode F. C is 1 for grey, 2 for grey and alpha, 3 for
    RGB, 4 for RGB and alpha. `mode` is the PIL mode that holds them, or None where PIL has none. `dpi` is in dots
    per inch along x and y. `comment` is ASCII text.
    """

    values: np.ndarray
    mode: str | None
    icc: bytes | None
    dpi: tuple[float, float] | None
    comment: str | None = None


@dataclass(frozen=True)
class Format:
    """A file format that can be written.

    Its name in Pillow, whether it holds alpha, bits a channel, the most pixels a side (None: more than memory), and
    Pillow's options.
    """

    name: str
    alpha: bool
    bits: int
    largest_side: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


_JPEG = Format(
    "JPEG",
    alpha=False,
    bits=8,
    largest_side=65500,  # of libjpeg; the format itself goes to 65535
    options={"quality": 95, "subsampling": "4:4:4"},
)
_TIFF = Format("TIFF", alpha=True, bits=16, options={"compression": "tiff_adobe_deflate"})
FORMATS = {
    ".png": Format("PNG", alpha=True, bits=16),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": Format("WEBP", alpha=True, bits=8, largest_side=16383, options={"lossless": True}),
    ".bmp": Format("BMP", alpha=False, bits=8),
}
LARGEST_DPI = 65535
"""What JPEG has room for; a file that states more is damaged."""


class Unnumbered:
    """A file for Pillow to write to, without the number that the system knows it by.

    By that number Pillow's C code and libtiff write themselves. They take no notice where the system writes a part of
    what it is given, as on a disk that becomes full, and the file would end there without an error.
    """

    def __init__(self, file: BinaryIO):
        self.write, self.seek, self.tell, self.flush = file.write, file.seek, file.tell, file.flush


def decode_file(path: Path, name: str = "path", max_pixels: int | None = None) -> Raster:
    """Read the first frame of an image file, upright.

    Args:
        path: the file.
        name: the argument that errors name.
        max_pixels: the largest width x height to read; None keeps Pillow's limit, twice `Image.MAX_IMAGE_PIXELS`.

    Raises:
        MissingFileError: there is no such file.
        InputError: it is a folder, unreadable, not an image, truncated, empty, or larger than the limit.
        NotEnoughMemoryError: its pixels would not fit into memory.
    """
    what = f"{name}={str(path)!r}"
    if is_folder(path, what):
        raise InputError(f"{what} is a folder; give an image file")
    with _reading(what), nullcontext() if max_pixels is None else _PILLOW_LIMIT.lifted():
        with _opened(path, what) as image:
            width, height = image.size
            if max_pixels is not None and width * height > max_pixels:
                raise InputError(f"{what} has {width}x{height} pixels, more than max_pixels={max_pixels}")
            if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO: a photo and its previews
                warnings.warn(f"{what} has several frames; only the first is used", stacklevel=4)
            needed = BYTES_PER_SAMPLE * len(image.getbands()) * width * height
            require_memory(needed, torch.device("cpu"), f"reading {what} of {width}x{height} pixels")
            layout = _deep_layout(image)
            raster = _decode(image, what)
        if layout is not None:
            raster = _decode_deep(path, raster, layout)
    return raster


def is_folder(path: Path, what: str) -> bool:
    """Whether `path` is a folder, and not a file; errors call it `what`.

    Raises:
        MissingFileError: there is nothing of that name.
        InputError: it cannot be looked at.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a name with a null byte
        raise MissingFileError(f"{what} does not exist") from error
    except OSError as error:
        raise InputError(f"{what} cannot be read: {error.strerror}") from error


def exists(path: Path, what: str) -> bool:
    """Whether there is a file or folder of that name; errors call it `what`.

    Raises:
        InputError: it cannot be looked at.
    """
    try:
        is_folder(path, what)
    except MissingFileError:
        return False
    return True


def decode_pil(image: Image.Image, name: str) -> Raster:
    """Return the pixels of a PIL image, upright; `name` is the argument that errors name.

    Raises:
        InputError: its file is truncated or broken, or it has no pixels.
    """
    with _reading(name):
        return _decode(image, name)


def encode(
    file: BinaryIO,
    values: np.ndarray,
    kind: Format,
    icc: bytes | None,
    dpi: tuple[float, float] | None,
    comment: str | None = None,
) -> None:
    """Write `values`, (H, W, C) of uint8 or uint16, as an image file of the format `kind`; `comment` is ASCII text."""
    if values.dtype == np.uint16 and values.shape[2] > 1:
        write = {"PNG": _write_deep_png, "TIFF": _write_deep_tiff}[kind.name]
        return write(file, values, icc, dpi, comment)
    image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    metadata = {"icc_profile": icc, "dpi": dpi, **(_commented(kind, comment) if comment else {})}
    known = {key: value for key, value in metadata.items() if value}
    image.save(Unnumbered(file), kind.name, **kind.options, **known)  # type: ignore[arg-type]


def _commented(kind: Format, comment: str) -> dict[str, Any]:
    """Return Pillow's options that write a comment where the format has a place for one."""
    if kind.name == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text(PNG_COMMENT, comment)
        return {"pnginfo": text}
    if kind.name == "WEBP":
        exif = Image.Exif()
        exif[TiffImagePlugin.IMAGEDESCRIPTION] = comment
        return {"exif": exif}
    return {"JPEG": {"comment": comment}, "TIFF": {"description": comment}}.get(kind.name, {})


def check_size(path: Path, width: int, height: int) -> None:
    """Check that the format of the file `path`, one of `FORMATS`, can hold that many pixels; before the work.

    Raises:
        OutputError: it cannot.
    """
    kind = FORMATS[path.suffix.lower()]
    if kind.largest_side is not None and max(width, height) > kind.largest_side:
        raise OutputError(
            f"path={str(path)!r}: {kind.name} cannot hold {width}x{height} pixels, only {kind.largest_side} a side; "
            "use .png or .tif"
        )


def _opened(path: Path, what: str) -> Image.Image:
    """Open a file, of which Pillow reads what comes before the pixels."""
    try:
        return Image.open(path)
    except MemoryError as error:  # it reads as much as the file says that there is
        raise InputError(
            f"{what} cannot be decoded: its header states more than there is; the file is broken"
        ) from error


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turn whatever Pillow raises for a bad file into an `InputError` about `what`."""
    try:
        yield
    except FastsrError:
        raise
    except MemoryError as error:
        raise NotEnoughMemoryError(f"{what} does not fit into memory") from error
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{what}: {error}; if you trust the file, allow more: fastsr.images.read(path, max_pixels=...), "
            "or --max-pixels on the command line"
        ) from error
    except UnidentifiedImageError as error:
        raise InputError(f"{what} is not an image that Pillow can read") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: an offset in the file
            raise InputError(f"{what} cannot be read: {error.strerror}") from error
        # Broken files make Pillow's decoders raise almost anything.
        raise InputError(f"{what} cannot be decoded: {error}; the file is truncated or broken") from error


class _PillowLimit:
    """Pillow's own limit of pixels, which is of the whole process: off as long as any thread has lifted it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lifting = 0
        self._limit: int | None = None

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Switch it off, for a caller that has set a limit."""
        with self._lock:
            if not self._lifting:
                self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self._lifting += 1
        try:
            yield
        finally:
            with self._lock:
                self._lifting -= 1
                if not self._lifting:
                    Image.MAX_IMAGE_PIXELS = self._limit


_PILLOW_LIMIT = _PillowLimit()


def _decode(image: Image.Image, what: str) -> Raster:
    if 0 in image.size:
        raise InputError(f"{what} has {image.width}x{image.height} pixels; an image has at least 1x1")
    icc = image.info.get("icc_profile") if image.mode not in ("CMYK", "LAB") else None  # it describes those inks
    dpi = _valid_dpi(image.info.get("dpi"))
    comment = image.info.get("comment")  # bytes are a file's own
    comment = comment if isinstance(comment, str) and comment.isascii() else None
    key = image.info.get("transparency") if image.mode == "I;16" else None
    image = ImageOps.exif_transpose(_simplify(image))
    values = np.array(image)
    values = values.reshape(image.height, image.width, -1)
    if image.mode.startswith("I"):
        if values.min() < 0 or values.max() > 65535:
            raise InputError(
                f"{what} of mode 'I' has values from {values.min()} to {values.max()}; 16-bit values go from 0 to 65535"
            )
        values = values.astype(np.uint16)
    if key is not None:
        return Raster(_with_key(values, key), None, icc, dpi)
    return Raster(values, "I;16" if image.mode.startswith("I;") else image.mode, icc, dpi, comment)


def _simplify(image: Image.Image) -> Image.Image:
    """Convert to one of `KEPT_MODES`."""
    image.load()
    if "transparency" in image.info and image.mode in ("1", "L", "P", "RGB"):
        return image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    if image.mode in KEPT_MODES:
        return image
    if image.mode == "P" and image.palette is not None and image.palette.mode == "RGBA":
        return image.convert("RGBA")
    return image.convert(CONVERTED_MODES.get(image.mode, "RGB"))


def _valid_dpi(dpi: Any) -> tuple[float, float] | None:
    """Return the resolution as a pair of floats where a file states a usable one."""
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    # Pillow says 1 where a TIFF states nothing.
    return (x, y) if 1 < x <= LARGEST_DPI and 1 < y <= LARGEST_DPI else None


def _with_key(values: np.ndarray, key: int | tuple[int, ...]) -> np.ndarray:
    """Append 16-bit alpha: 0 where a pixel has the colour `key`, which PNG calls transparent, opaque elsewhere."""
    opaque = (values != np.asarray(key)).any(axis=2, keepdims=True)
    return np.concatenate([values, opaque.astype(np.uint16) * np.uint16(65535)], axis=2)


def _deep_layout(image: Image.Image) -> str | None:
    """Return Pillow's name for the layout of 16-bit channels that it is about to read as 8 bits, if it is."""
    if not isinstance(image, ImageFile.ImageFile) or image.format not in ("PNG", "TIFF") or not image.tile:
        return None
    args = image.tile[0].args
    layout = args[0] if isinstance(args, tuple) else args
    if not isinstance(layout, str) or ";16" not in layout or image.mode not in ("RGB", "RGBA"):
        return None
    if layout.split(";")[0] not in ("RGB", "RGBX", "RGBA", "LA"):
        warnings.warn(f"16-bit channels stored as {layout} are read as 8 bits", stacklevel=5)
        return None
    return layout


def _decode_deep(path: Path, upper: Raster, layout: str) -> Raster:
    """Return the 16-bit channels of a file: the bytes of `upper`, which Pillow keeps, and those it drops."""
    with Image.open(path) as image:
        key = image.info.pop("transparency", None)
        if layout == "LA;16B":  # as four bytes a pixel: grey, grey, alpha, alpha
            image.tile = [tile._replace(args="RGBA") for tile in image.tile]
            pairs = np.array(ImageOps.exif_transpose(image)).astype(np.uint16)
            return Raster(pairs[..., 0::2] << 8 | pairs[..., 1::2], None, upper.icc, upper.dpi)
        base, order = layout.split(";")
        swapped = f"{base};{LOWER_BYTE[order]}"
        image.tile = [
            tile._replace(args=(swapped, *tile.args[1:]) if isinstance(tile.args, tuple) else swapped)
            for tile in image.tile
        ]
        lower = np.array(ImageOps.exif_transpose(image))
    channels = lower.shape[2]
    values = upper.values[..., :channels].astype(np.uint16) << 8 | lower
    return Raster(values if key is None else _with_key(values, key), None, upper.icc, upper.dpi)


def _write_deep_png(
    file: BinaryIO, values: np.ndarray, icc: bytes | None, dpi: tuple[float, float] | None, comment: str | None
) -> None:
    """Write 2 to 4 channels of 16 bits as PNG (ISO/IEC 15948), every row with filter 1, the left neighbour."""
    height, width, channels = values.shape
    rows = values.astype(">u2").reshape(height, -1).view(np.uint8)
    step = 2 * channels
    filtered = np.ones((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 1:] = rows
    filtered[:, 1 + step :] -= rows[:, :-step]

    def chunk(name: bytes, data: bytes) -> None:
        file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))

    file.write(b"\x89PNG\r\n\x1a\n")
    chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0))
    if icc:
        chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc))
    if dpi:
        chunk(b"pHYs", struct.pack(">IIB", round(dpi[0] / 0.0254), round(dpi[1] / 0.0254), 1))  # pixels a metre
    if comment:
        chunk(b"tEXt", f"{PNG_COMMENT}\0{comment}".encode("ascii"))
    chunk(b"IDAT", zlib.compress(filtered.tobytes()))
    chunk(b"IEND", b"")


def _write_deep_tiff(
    file: BinaryIO, values: np.ndarray, icc: bytes | None, dpi: tuple[float, float] | None, comment: str | None
) -> None:
    """Write 2 to 4 channels of 16 bits as TIFF 6.0: one strip, compressed by zlib; grey and alpha as RGBA."""
    if values.shape[2] == 2:
        values = values[..., [0, 0, 0, 1]]  # Pillow does not read grey and alpha at 16 bits back
    height, width, channels = values.shape
    data = zlib.compress(values.astype("<u2").tobytes())
    tags = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    tags[TiffImagePlugin.IMAGEWIDTH] = width
    tags[TiffImagePlugin.IMAGELENGTH] = height
    tags[TiffImagePlugin.BITSPERSAMPLE] = (16,) * channels
    tags[TiffImagePlugin.COMPRESSION] = 8  # Adobe deflate
    tags[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = 2  # RGB
    tags[TiffImagePlugin.SAMPLESPERPIXEL] = channels
    tags[TiffImagePlugin.ROWSPERSTRIP] = height
    if channels == 4:
        tags[TiffImagePlugin.EXTRASAMPLES] = 2  # alpha, not premultiplied
    if icc:
        tags[TiffImagePlugin.ICCPROFILE] = icc
    if dpi:
        tags[TiffImagePlugin.RESOLUTION_UNIT] = 2  # inch
        tags[TiffImagePlugin.X_RESOLUTION], tags[TiffImagePlugin.Y_RESOLUTION] = dpi
    if comment:
        tags[TiffImagePlugin.IMAGEDESCRIPTION] = comment
    tags[TiffImagePlugin.STRIPBYTECOUNTS] = len(data)
    tags[TiffImagePlugin.STRIPOFFSETS] = 0  # `save` adds the end of the directory
    tags.save(file)
    file.write(data)
