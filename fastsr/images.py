"""Any image in (path, PIL, NumPy, torch), one float tensor inside, the same kind out.

`each` gives every picture to a function, and `Picture.map` puts colours back into the kind and dtype that came. What
works on several pictures at once, or on one at a time, takes it apart: `single`, `read`, `premultiplied`,
`remade`, `arranged`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import codecs
from .errors import InputError, InputTypeError, OutputError
from .files import atomic_write
from .imresize import imresize

KINDS = "a path, a PIL image, a NumPy array, a torch tensor or a Picture"
LEVELS = {
    "bool": 255,
    "uint8": 255,
    "uint16": 65535,
    "float16": None,
    "bfloat16": None,
    "float32": None,
    "float64": None,
}
# Rounding leaves float results this little outside [0, 1]; they are clipped. Half a level of 8 bits.
TOLERANCE = 0.5 / 255


@dataclass(frozen=True)
class Origin:
    """What an image was before it was read: all that is needed to make such an image again."""

    kind: Literal["pil", "numpy", "torch", "picture"]
    ndim: int
    dtype: np.dtype | torch.dtype
    mode: str | None = None
    device: torch.device | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """One image, or a batch of one size, as float colours, and what is needed to give the same kind back.

    A `Picture` is itself an image that every function takes, and gives back, with nothing lost in between.

    Attributes:
        pixels: (N, C, H, W) float32 in [0, 1]; C is 1 for grey, 3 for RGB. Not multiplied by alpha.
        alpha: (N, 1, H, W) float32 in [0, 1], 1 where opaque; None without transparency.
        levels: the largest integer of the dtype that came, so that `(pixels * levels).round()` are exactly the
            integers that came: 255 or 65535. None for float images. Boolean images are 0 and 255.
        origin: what came.
        icc: the ICC profile of the file.
        dpi: its resolution along x and y, in dots per inch.
        comment: what its file is to say of it, in ASCII.
    """

    pixels: Tensor
    alpha: Tensor | None
    levels: int | None
    origin: Origin
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    comment: str | None = None

    def like(self, pixels: Tensor, alpha: Tensor | None = None) -> Any:
        """Return `pixels`, (N, C, H', W'), as an image of the kind and dtype that came; a path gives a PIL image.

        Values are clipped to [0, 1] and, for integers, rounded to the nearest, halves up. A file with colour, or
        grey and alpha, at 16 bits gives a NumPy uint16 array (H', W', 2, 3 or 4): PIL has no mode for it.

        Args:
            pixels: the colours; N and C as they came.
            alpha: (N, 1, H', W'); None keeps the alpha that came, whose size it then has.

        Raises:
            ValueError: the shape does not fit the picture.
        """
        alpha = self.alpha if alpha is None else alpha
        size = pixels.shape[-2:] if alpha is None else alpha.shape[-2:]
        expected = (*self.pixels.shape[:2], *size)
        if pixels.shape != expected or (alpha is None) != (self.alpha is None):
            raise ValueError(f"colours of shape {tuple(pixels.shape)} do not fit a picture that needs {expected}")
        pixels = pixels.clamp(0, 1)
        alpha = None if alpha is None else alpha.clamp(0, 1).to(pixels.device)
        if self.origin.kind == "picture":
            return replace(self, pixels=pixels, alpha=alpha)
        channels = pixels if alpha is None else torch.cat([pixels, alpha], 1)
        if self.origin.kind == "torch":
            return _to_torch(channels, self.origin)
        return _to_pil(channels, self) if self.origin.kind == "pil" else _to_numpy(channels, self.origin)

    def map(self, fn: Callable[[Tensor], Tensor], fn_alpha: Callable[[Tensor], Tensor] | None = None) -> Any:
        """Return the image, of the kind that came, whose colours are `fn(pixels)`.

        `fn` takes (N, C, H, W) and returns (N, C, H', W'). With transparency it gets the colours multiplied by
        alpha, so that what is invisible cannot bleed into what is seen; alpha becomes `fn_alpha(alpha)`, the same
        linear map as `fn`, or is resized by the bicubic kernel.
        """
        colours = fn(self.premultiplied)
        return self.remade(colours, None if fn_alpha is None or self.alpha is None else fn_alpha(self.alpha))

    @property
    def premultiplied(self) -> Tensor:
        """The colours multiplied by alpha, (N, C, H, W); `pixels` where there is no transparency."""
        return self.pixels if self.alpha is None else self.pixels * self.alpha

    def remade(self, premultiplied: Tensor, alpha: Tensor | None = None) -> Any:
        """Return the image, of the kind that came, of colours multiplied by alpha, (N, C, H', W').

        `alpha` may overshoot as the colours do: clipped first, it would not cancel. None resizes that which came by
        the bicubic kernel.
        """
        if self.alpha is None:
            return self.like(premultiplied)
        if alpha is None:
            alpha = self.alpha
            if alpha.shape[-2:] != premultiplied.shape[-2:]:
                alpha = imresize(alpha, size=tuple(premultiplied.shape[-2:])).clamp(0, 1)
        alpha = alpha.to(premultiplied.device)
        visible = alpha > TOLERANCE
        pixels = torch.where(visible, premultiplied / torch.where(visible, alpha, 1), 0)
        return self.like(pixels, alpha)


def read(img: Any, name: str = "img", *, max_pixels: int | None = None) -> Picture:
    """Return an image of any kind as a `Picture`.

    Args:
        img: one of
            a path: EXIF orientation is applied; of several frames the first is used; palette, CMYK and the like
            become RGB (CMYK without colour management, and without its profile), 1-bit images 8-bit grey;
            a PIL image: likewise;
            a NumPy array (H, W), (H, W, C) or (N, H, W, C) of uint8, uint16, bool or float;
            a torch tensor (C, H, W) or (N, C, H, W) of the same dtypes or bfloat16; gradients flow through;
            a `Picture`: comes back as a `Picture`.
            C is 1 for grey, 2 for grey and alpha, 3 for RGB, 4 for RGB and alpha. Floats are in [0, 1]; values
            outside by at most half a level of 8 bits, as rounding leaves them, are clipped.
        name: what errors call the argument.
        max_pixels: the largest file to read, width x height; None keeps Pillow's limit for decompression bombs.

    Raises:
        MissingFileError: there is no such file.
        InputTypeError: the type or dtype cannot be an image.
        InputError: the file cannot be read, or shape or values are not those of an image.
    """
    if isinstance(img, Picture):
        return replace(img, origin=replace(img.origin, kind="picture"))
    if isinstance(img, (str, os.PathLike)):
        return _from_raster(codecs.decode_file(Path(img), name, max_pixels), f"{name}={str(img)!r}")
    if isinstance(img, Image.Image):
        return _from_raster(codecs.decode_pil(img, name), name)
    if isinstance(img, np.ndarray):
        return _from_numpy(img, name)
    if isinstance(img, Tensor):
        return _from_torch(img, name)
    raise InputTypeError(f"{name} is a {type(img).__name__}; give {KINDS}")


def each(img: Any, fn: Callable[[Picture, str], Any], name: str = "img") -> Any:
    """Return `fn` of `img` as a `Picture` and its name; of a sequence, the list of `fn` of each.

    The images of a sequence may differ in kind and size.

    Raises:
        InputError: the sequence is empty, and what `read` raises; the element is named as img[i].
    """
    return arranged(img, (fn(read(one, what), what) for one, what in single(img, name)))


def several(img: Any) -> bool:
    """Whether `img` is a sequence of images, such as a list or the samples of SR3, and not one image or batch."""
    return isinstance(img, Sequence) and not isinstance(img, (str, bytes, os.PathLike))


def single(img: Any, name: str = "img") -> list[tuple[Any, str]]:
    """Return every image of `img`, which is one or a sequence of them, with what errors call it.

    Raises:
        InputError: a sequence is empty.
    """
    if not several(img):
        return [(img, name)]
    if not img:
        raise InputError(f"{name} is an empty list; give at least one image")
    return [found for index, one in enumerate(img) for found in single(one, f"{name}[{index}]")]


def arranged(img: Any, results: Iterator[Any]) -> Any:
    """Return the `results`, one for each image that `single` yields of `img`, as the lists in which those came."""
    return [arranged(one, results) for one in img] if several(img) else next(results)


def load(path: str | os.PathLike[str], *, max_pixels: int | None = None) -> Tensor:
    """Read an image file as a float32 tensor (C, H, W) in [0, 1], upright.

    C is 1 for grey, 2 for grey and alpha, 3 for RGB, 4 for RGB and alpha. A tensor carries no ICC profile and no
    resolution: to keep them, give the path itself to a method, or `images.read(path)`.

    Args:
        path: the file.
        max_pixels: the largest file to read, width x height; None keeps Pillow's limit for decompression bombs.

    Raises:
        MissingFileError, InputError: as `read`.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InputTypeError(f"path is a {type(path).__name__}; give a string or a pathlib.Path")
    picture = read(path, "path", max_pixels=max_pixels)
    return picture.pixels[0] if picture.alpha is None else torch.cat([picture.pixels, picture.alpha], 1)[0]


def save(img: Any, path: str | os.PathLike[str], *, bits: int | None = None) -> None:
    """Write one image of any kind to a file, whole or not at all; the suffix names the format.

    ICC profile, resolution and comment of PIL images and `Picture`s are written where the format has room for them:
    BMP has none for profiles and comments, WebP none for the resolution. JPEG is written with quality 95 and full
    colour resolution, WebP without loss.

    Args:
        img: see `read`; a batch must hold a single image.
        path: ends in .png, .jpg, .jpeg, .tif, .tiff, .webp or .bmp.
        bits: 8 or 16 a channel (PNG and TIFF); None writes 16 where 16-bit integers came and the format has
            them, else 8.

    Raises:
        OutputError: the format is unknown, cannot hold transparency or 16 bits, or the file cannot be written.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InputTypeError(f"path is a {type(path).__name__}; give a string or a pathlib.Path")
    if several(img):
        raise InputTypeError(f"img is a {type(img).__name__} of {len(img)} images; save them one by one")
    picture = read(img)
    kind = check_output(path, picture, bits=bits)
    if len(picture.pixels) != 1:
        raise InputError(f"img is a batch of {len(picture.pixels)} images; save them one by one")
    deep = kind.bits == 16 and (bits == 16 or (bits is None and picture.levels == 65535))
    channels = picture.pixels if picture.alpha is None else torch.cat([picture.pixels, picture.alpha], 1)
    codecs.check_size(Path(path), *reversed(channels.shape[-2:]))
    values = _to_numpy(channels, Origin("numpy", 3, np.dtype(np.uint16 if deep else np.uint8)))
    with atomic_write(Path(path)) as file:
        codecs.encode(file, values, kind, picture.icc, picture.dpi, picture.comment)


def check_output(path: str | os.PathLike[str], picture: Picture, *, bits: int | None = None) -> codecs.Format:
    """Return the format in which `save` would write `picture` to `path`; for a check before the work.

    Raises:
        OutputError: the suffix is unknown, or the format cannot hold transparency or 16 bits.
    """
    suffix = Path(path).suffix.lower()
    kind = codecs.FORMATS.get(suffix)
    if kind is None:
        raise OutputError(f"path={str(path)!r} has no suffix that can be written: {', '.join(codecs.FORMATS)}")
    if picture.alpha is not None and not kind.alpha:
        raise OutputError(f"path={str(path)!r}: {kind.name} cannot hold transparency; use .png, .tif or .webp")
    if bits not in (None, 8, 16):
        raise InputError(f"bits={bits!r} is not supported; use 8 or 16")
    if bits == 16 and kind.bits < 16:
        raise OutputError(f"path={str(path)!r}: {kind.name} cannot hold 16 bits; use .png or .tif")
    return kind


def _from_raster(raster: codecs.Raster, name: str) -> Picture:
    """`raster` holds float values only for the PIL mode F."""
    origin = Origin("pil" if raster.mode else "numpy", 3, raster.values.dtype, raster.mode)
    return replace(
        _from_channels(_channels_first(raster.values[None]), origin, name),
        icc=raster.icc,
        dpi=raster.dpi,
        comment=raster.comment,
    )


def _from_numpy(array: np.ndarray, name: str) -> Picture:
    if array.dtype.name not in LEVELS:
        raise InputTypeError(f"{name} has dtype {array.dtype}; use uint8, uint16, or float in [0, 1]")
    if array.ndim not in (2, 3, 4):
        raise InputError(f"{name} has shape {array.shape}; NumPy images are (H, W), (H, W, C) or (N, H, W, C)")
    batch = array[None, ..., None] if array.ndim == 2 else array[None] if array.ndim == 3 else array
    if batch.shape[-1] not in (1, 2, 3, 4):
        hint = "; it looks like channels first: use array.transpose(1, 2, 0)" if array.shape[0] in (1, 3, 4) else ""
        raise InputError(f"{name} has shape {array.shape}, so {batch.shape[-1]} channels; an image has 1 to 4{hint}")
    return _from_channels(_channels_first(batch), Origin("numpy", array.ndim, array.dtype), name)


def _from_torch(tensor: Tensor, name: str) -> Picture:
    dtype = _name(tensor.dtype)
    if dtype not in LEVELS:
        raise InputTypeError(f"{name} has dtype {dtype}; use uint8, uint16, or float in [0, 1]")
    if tensor.layout != torch.strided or tensor.is_nested or tensor.is_meta:
        what = "on the device meta, without values" if tensor.is_meta else f"not dense but {tensor.layout}"
        raise InputTypeError(f"{name} is a tensor {what}; give a dense one with values")
    if tensor.ndim not in (3, 4):
        hint = "; use tensor[None] for a single channel" if tensor.ndim == 2 else ""
        raise InputError(f"{name} has shape {tuple(tensor.shape)}; torch images are (C, H, W) or (N, C, H, W){hint}")
    batch = tensor if tensor.ndim == 4 else tensor[None]
    batch = batch.clone() if batch.dtype == torch.float32 else batch  # work on it may be in place
    if batch.shape[1] not in (1, 2, 3, 4):
        hint = "; it looks like channels last: use tensor.permute(2, 0, 1)" if batch.shape[-1] in (1, 3, 4) else ""
        raise InputError(
            f"{name} has shape {tuple(tensor.shape)}, so {batch.shape[1]} channels; an image has 1 to 4{hint}"
        )
    return _from_channels(batch, Origin("torch", tensor.ndim, tensor.dtype, device=tensor.device), name)


def _channels_first(batch: np.ndarray) -> Tensor:
    """Return (N, H, W, C) as a tensor (N, C, H, W): a copy, for torch takes no negative strides, no foreign bytes."""
    native = batch.dtype.newbyteorder("=")
    return torch.from_numpy(np.array(batch.transpose(0, 3, 1, 2), native, order="C"))


def _from_channels(channels: Tensor, origin: Origin, name: str) -> Picture:
    """Scale (N, 1 to 4, H, W) of any dtype of `LEVELS` to [0, 1], and split off alpha; float32 is kept as it is."""
    if 0 in channels.shape:
        raise InputError(f"{name} has no pixels: {len(channels)} images of {channels.shape[3]}x{channels.shape[2]}")
    levels = LEVELS[_name(channels.dtype)]
    values = channels.to(torch.float32)
    if levels is None:
        values = _check_range(values, name)
    elif channels.dtype != torch.bool:
        values = values.div_(levels)
    colours = (channels.shape[1] - 1) // 2 * 2 + 1  # 1, 1, 3, 3
    alpha = values[:, colours:] if channels.shape[1] > colours else None
    return Picture(values[:, :colours], alpha, levels, origin)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _check_range(values: Tensor, name: str) -> Tensor:
    low, high = (bound.item() for bound in values.detach().aminmax())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{name} holds NaN or infinite values; an image is finite, in [0, 1]")
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        advice = "divide by 255, or give uint8" if high > 2 else "clip it, or scale it to [0, 1]"
        raise InputError(f"{name} has float values from {low:.6g} to {high:.6g}; float images are in [0, 1]: {advice}")
    return values.clamp(0, 1) if low < 0 or high > 1 else values


def _to_dtype(channels: Tensor, dtype: torch.dtype) -> Tensor:
    """Quantise [0, 1] to `dtype`: to the nearest level, halves up; exact for every level of 8 and 16 bits."""
    levels = LEVELS[_name(dtype)]
    if dtype == torch.bool:
        return channels >= 0.5
    return channels.to(dtype) if levels is None else (channels * levels).add_(0.5).floor_().to(dtype)


def _to_torch(channels: Tensor, origin: Origin) -> Tensor:
    assert isinstance(origin.dtype, torch.dtype)
    channels = _to_dtype(channels, origin.dtype).to(origin.device)
    return channels[0] if origin.ndim == 3 else channels


def _to_numpy(channels: Tensor, origin: Origin) -> np.ndarray:
    assert isinstance(origin.dtype, np.dtype)
    values = _to_dtype(channels.detach().cpu(), getattr(torch, origin.dtype.name))
    array = np.ascontiguousarray(values.numpy().transpose(0, 2, 3, 1), origin.dtype)
    return {2: array[0, ..., 0], 3: array[0], 4: array}[origin.ndim]


def _to_pil(channels: Tensor, picture: Picture) -> Image.Image:
    values = _to_numpy(channels, picture.origin)
    if values.shape[2] == 1:
        values = values[..., 0]
    image = Image.fromarray(values.astype(np.int32) if picture.origin.mode == "I" else values)
    if picture.icc is not None:
        image.info["icc_profile"] = picture.icc
    if picture.dpi is not None:
        image.info["dpi"] = picture.dpi
    if picture.comment is not None:
        image.info["comment"] = picture.comment
    return image
