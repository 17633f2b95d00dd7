"""Small image and checkpoint files of every kind, valid and invalid, from which the fuzzer makes damaged ones."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin, TiffImagePlugin
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from fastsr.io.codecs import FORMATS, encode
from fastsr.sr3 import checkpoints as sr3_checkpoints
from fastsr.sr3.network import UNet, UNetConfig
from fastsr.sr3.schedules import Schedule
from fastsr.srgan import checkpoints as srgan_checkpoints
from fastsr.srgan.esrgan import MSRResNet, MSRResNetConfig, RRDBNet, RRDBNetConfig
from fastsr.srgan.networks import SRResNet, SRResNetConfig
from fastsr.stylegan import checkpoints as stylegan_checkpoints
from fastsr.stylegan.latents import GaussianFit
from fastsr.stylegan.network import StyleGAN, StyleGANConfig

WIDTH = 2
MSRRESNET = {"first": "conv_first", "trunk": "body", "upsampling.0": "upconv1", "large": "conv_hr", "last": "conv_last"}
RRDBNET = {**MSRRESNET, "upsampling.0": "conv_up1", "fuse": "conv_body"}


class Code:
    """What runs a command where its pickle is loaded without care; it makes a file that can be looked for."""

    def __init__(self, path: str):
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        """Return what a pickle has for it."""
        return os.mkdir, (self._path,)


def checkpoint_seeds(trap: Path) -> dict[str, bytes]:
    """Return files by name; a file with code in it would make the folder `trap` if that code were run."""
    return dict(_checkpoint_seeds(trap))


def _checkpoint_seeds(trap: Path) -> Iterator[tuple[str, bytes]]:
    torch.manual_seed(0)
    yield from _own()
    plain = MSRResNet(MSRResNetConfig(1, WIDTH, 2)).state_dict()
    basicsr = _renamed(plain, MSRRESNET)
    rrdb = _renamed(RRDBNet(RRDBNetConfig(1, WIDTH, 1, 1)).state_dict(), RRDBNET)
    yield "rrdb.pth", _torch({"params_ema": rrdb, "params": rrdb})
    yield "basicsr.pth", _torch(basicsr)
    yield "half.safetensors", to_safetensors({key: value.half() for key, value in basicsr.items()}, {"format": "pt"})
    yield "legacy.pth", _torch(basicsr, zipped=False)
    yield "bfloat16.pth", _torch({key: value.bfloat16() for key, value in basicsr.items()})
    yield (
        "parallel.pth",
        _torch({"state_dict": {f"module.{key}": nn.Parameter(value) for key, value in basicsr.items()}}),
    )
    yield "nested.pth", _torch({"model": {"generator": {"net": basicsr}}, "epoch": 3, "best": 1.5, "args": {"a": [1]}})
    yield "unknown.pth", _torch({"weight": torch.ones(2)})
    yield "empty.pth", _torch({})
    yield "tensor.pth", _torch(torch.ones(3))

    cycle: dict[str, Any] = {"state_dict": None}
    cycle["state_dict"] = cycle
    yield "cycle.pth", _torch(cycle)
    yield "prefixes.pth", _torch({"module." * 3000 + "weight": torch.ones(2)})
    yield "huge.pth", _torch({**basicsr, "conv_first.weight": torch.ones(1).expand(10**7, 10**7)})
    for name, odd in {
        "meta": torch.empty(3, device="meta"),
        "sparse": torch.eye(3).to_sparse(),
        "quantized": _quantized(),
        "jagged": torch.nested.nested_tensor([torch.ones(1), torch.ones(2)], layout=torch.jagged),
        "complex": torch.ones(3, dtype=torch.complex64),
        "boolean": torch.ones(3, dtype=torch.bool),
        "nan": torch.full((3,), torch.nan),
        "scalar": torch.tensor(1.0),
        "none": torch.ones(0),
        "float8": torch.ones(3).to(torch.float8_e4m3fn),
    }.items():
        yield f"{name}.pth", _torch({**basicsr, "conv_first.bias": odd})
    yield (
        "keys.pth",
        _torch({1: torch.ones(1), None: torch.ones(1), ("a",): torch.ones(1), torch.ones(1): torch.ones(1)}),
    )

    yield "code.pth", _torch({**basicsr, "extra": Code(str(trap))})
    yield "legacy_code.pth", _torch({**basicsr, "extra": Code(str(trap))}, zipped=False)
    yield "pickle.pth", pickle.dumps(Code(str(trap)), protocol=2)
    yield "network.pth", _torch(nn.Linear(2, 2))
    yield "list.pth", pickle.dumps([1, 2, 3], protocol=2)
    yield "text.pth", b"no checkpoint"
    yield "nothing.pth", b""


def _own() -> Iterator[tuple[str, bytes]]:
    """Yield the files of fastsr's own layout."""
    generators = {
        "srresnet": SRResNet(SRResNetConfig(1, WIDTH, 2, kernels=(3, 3, 3))),
        "msrresnet": MSRResNet(MSRResNetConfig(1, WIDTH, 2)),
        "rrdbnet": RRDBNet(RRDBNetConfig(1, WIDTH, 1, 1)),
    }
    unet = UNet(UNetConfig(WIDTH, (1, 1), 1, (), groups=1))
    stylegan = StyleGAN(StyleGANConfig(8, 2, 1, feature_maps=(2, 2)))
    fit = GaussianFit(torch.zeros(2), torch.ones(2))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "own.safetensors")
        for name, generator in generators.items():
            srgan_checkpoints.save(srgan_checkpoints.Checkpoint(generator, "fastsr", "unit", "signed", name), path)
            yield f"{name}.safetensors", path.read_bytes()
        curve = Schedule(steps=10, end=0.9).curve()
        sr3_checkpoints.save(sr3_checkpoints.Checkpoint(unet, curve, "epsilon", 4, 16, "fastsr", "unet"), path)
        yield "unet.safetensors", path.read_bytes()
        stylegan_checkpoints.save(stylegan_checkpoints.Checkpoint(stylegan, fit, "fastsr", "stylegan"), path)
        yield "stylegan.safetensors", path.read_bytes()


def _renamed(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    return {
        next(
            (theirs + key.removeprefix(ours) for ours, theirs in names.items() if key.startswith(f"{ours}.")), key
        ): value
        for key, value in tensors.items()
    }


def _torch(what: Any, *, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(what, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def _quantized() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch is about to give them up
        return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)


SIDES = 7, 5
ORIENTATION = 0x0112
PROFILE = b"\0\0\0\x80" + bytes(124)
"""The length of a profile and its header, which nobody looks at here."""


def image_seeds() -> dict[str, bytes]:
    """Return image files by name; the suffix says the format."""
    return dict(_image_seeds())


def _image_seeds() -> Iterator[tuple[str, bytes]]:
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
