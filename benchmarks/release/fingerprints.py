"""Print a hash of the result of each of many calls, by which two checkouts can be compared.

    python -m benchmarks.release.fingerprints > after.txt
    PYTHONPATH=OLD:OLD/kernels python benchmarks/release/fingerprints.py > before.txt     # OLD: another checkout
    diff before.txt after.txt

Each line has the sha256 of a result, its dtype and shape, and the case. The calls are those of the public functions on
the CPU, with fixed seeds, on parts of images that ship with scikit-image. Both must run on the same machine with the
same versions and one number of threads: other processors and other builds of torch round differently.
"""

from __future__ import annotations

import argparse
import hashlib
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from skimage import data

import fastsr

Case = tuple[str, Callable[[], Any]]
SRGAN_WEIGHTS = {"srresnet-x4": 4, "srresnet-x2": 2, "srgan-x4": 4}
KERNELS = ("bicubic", "lanczos2", "lanczos3", "linear", "box")
BORDERS = ("symmetric", "replicate", "reflect")


def photo(side: int) -> np.ndarray:
    """Return a part of a photograph, uint8 (side, side + 4, 3)."""
    part: np.ndarray = data.chelsea()[100 : 100 + side, 120 : 124 + side]
    return part


def face(side: int) -> np.ndarray:
    """Return a face at a low resolution, uint8 (side, side, 3)."""
    small: np.ndarray = fastsr.resize(data.astronaut()[28:220, 128:320], size=(side, side))
    return small


def resize_cases() -> Iterator[Case]:
    """Yield resizing for each dtype, kernel and border, down and up, with and without antialiasing."""
    image = photo(24)
    images = {
        "uint8": image,
        "uint16": image.astype(np.uint16) * 257,
        "float32": image.astype(np.float32) / 255,
        "tensor float64": torch.from_numpy(image).permute(2, 0, 1).double() / 255,
        "grey": image[..., 0],
        "alpha": np.dstack([image, image[..., 1]]),
    }
    for (name, img), kernel, scale in product(images.items(), KERNELS, (0.4, 1.75)):
        yield f"resize {name} {kernel} {scale}", partial(fastsr.resize, img, scale, kernel=kernel)
    for kernel, border, scale in product(KERNELS, BORDERS, (0.25, 2)):
        call = partial(fastsr.resize, images["float32"], scale, kernel=kernel, border=border, antialias=False)
        yield f"resize float32 {kernel} {border} {scale} without antialiasing", call


def dip_cases() -> Iterator[Case]:
    """Yield few steps of each task and preset."""
    image = photo(32)
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[8:12, 4:20] = 255
    tasks: dict[str, dict[str, Any]] = {
        "upscale x2": {"factor": 2},
        "upscale x4 lanczos2": {"factor": 4, "kernel": "lanczos2"},
        "upscale x2 inconsistent": {"factor": 2, "consistency": False},
        "denoise": {"task": "denoise"},
        "denoise sigma": {"task": "denoise", "sigma": 25, "early_stop": False},
        "inpaint": {"task": "inpaint", "mask": mask},
        "restore": {"task": "restore", "mask": mask},
    }
    for (name, options), preset in product(tasks.items(), ("fast", "paper")):
        call = partial(fastsr.dip, image, preset=preset, steps=3, seed=1, device="cpu", progress=False, **options)
        for dtype in ("float32", "bfloat16") if name == "upscale x2" else ("float32",):
            yield f"dip {name} {preset} {dtype}", partial(call, dtype=dtype)
    several = partial(fastsr.dip, [image, image[:20, :24]], factor=2, steps=2, device="cpu", dtype="float32")
    yield "dip two images", partial(several, progress=False)


def srgan_cases() -> Iterator[Case]:
    """Yield each bundled network, whole and in tiles."""
    image = photo(40)
    for weights, factor in SRGAN_WEIGHTS.items():
        call = partial(fastsr.srgan, image, factor, weights=weights, device="cpu", dtype="float32", progress=False)
        yield f"srgan {weights}", call
        yield f"srgan {weights} tile 16", partial(call, tile=16)
        yield f"srgan {weights} consistency", partial(call, consistency=True)
    call = partial(fastsr.srgan, image[:16, :16], weights="srgan-x4", device="cpu", progress=False)
    yield "srgan srgan-x4 ensemble", partial(call, ensemble=True, dtype="float32")
    yield "srgan srgan-x4 bfloat16", partial(call, dtype="bfloat16")
    yield "srgan srgan-x4 x3", partial(call, factor=3, dtype="float32")


def sr3_cases() -> Iterator[Case]:
    """Yield each sampler and spacing, several samples, and an image larger than those of the training."""
    call = partial(fastsr.sr3, weights="sr3-faces-x8", seed=2, device="cpu", dtype="float32", progress=False)
    small = face(8)
    for sampler in ("ddpm", "ddim", "dpm-solver++"):
        for spacing in ("time", "log-snr", "karras"):
            yield f"sr3 {sampler} {spacing}", partial(call, small, steps=3, sampler=sampler, spacing=spacing)
    yield "sr3 two samples", partial(call, small, steps=2, samples=2)
    yield "sr3 inconsistent", partial(call, small, steps=2, consistency=False)
    yield "sr3 bfloat16", partial(call, small, steps=2, dtype="bfloat16")
    yield "sr3 tiles", partial(call, photo(20), steps=2)


def pulse_cases() -> Iterator[Case]:
    """Yield few steps of the search."""
    call = partial(fastsr.pulse, face(8), weights="faces-64", steps=4, seed=3, device="cpu", progress=False)
    yield "pulse", partial(call, dtype="float32")
    yield "pulse bfloat16", partial(call, dtype="bfloat16")
    yield "pulse restarts", partial(call, dtype="float32", restarts=2, batch=1)
    yield "pulse tile latent", partial(call, dtype="float32", tile_latent=True, noise="zero")
    yield "pulse consistency", partial(call, dtype="float32", consistency=True)


def fingerprint(result: Any) -> str:
    """Return sha256, dtypes and shapes of an array, a tensor, or a list of them."""
    parts = list(result) if isinstance(result, (list, tuple)) else [result]
    arrays = [np.asarray(part.detach() if isinstance(part, torch.Tensor) else part) for part in parts]
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    kinds = " ".join(f"{array.dtype}{list(array.shape)}".replace(" ", "") for array in arrays)
    return f"{digest.hexdigest()} {kinds}"


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()  # not by benchmarks.report: with another checkout, nothing of this one but this file is used
    warnings.simplefilter("ignore", fastsr.DomainWarning)
    torch.set_num_threads(1)
    for cases in (resize_cases, dip_cases, srgan_cases, sr3_cases, pulse_cases):
        for name, call in cases():
            print(f"{fingerprint(call())} {name}", flush=True)


if __name__ == "__main__":
    main()
