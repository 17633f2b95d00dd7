"""Pictures made four times smaller and larger: time, memory, agreement with MATLAB, and whether gradients flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

import fastsr
from fastsr.data.benchmarks import find_benchmark
from fastsr.data.protocols import find_protocol
from fastsr.imresize import imresize

from .packages import load
from .turns import rivals, take_turns

FACTOR = 4
SIDES = (512, 2048)
"""Of the pictures that are resized."""
ROUNDS = 7
SECONDS = 10.0
"""Of a rival, size and direction, see `turns.take_turns`; packages that would take longer for a call are left out."""
BORDER = 3
"""Pixels of the small picture at each edge to which what lies outside may reach."""
OURS = ("fastsr", "fastsr, uint8")
OLD_MATLAB = "fastsr, uint8, border='replicate'"


@dataclass(frozen=True)
class Resizer:
    """How a package resizes.

    Attributes:
        take: from uint8 (H, W, 3) to what the package works on.
        call: from that and (height, width) to its result.
        give: from the result to uint8 (height, width, 3).
    """

    take: Callable[[np.ndarray], Any]
    call: Callable[[Any, tuple[int, int]], Any]
    give: Callable[[Any], np.ndarray]


def float_tensors(call: Callable[[torch.Tensor, tuple[int, int]], torch.Tensor]) -> Resizer:
    """Return what calls a function of float32 tensors (1, 3, H, W) in [0, 1]."""

    def take(picture: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous().float() / 255

    return Resizer(take, call, lambda large: rounded(large.detach()[0].permute(1, 2, 0).numpy()))


def float_arrays(call: Callable[[np.ndarray, tuple[int, int]], np.ndarray]) -> Resizer:
    """Return what calls a function of float32 arrays (H, W, 3) in [0, 1]."""
    return Resizer(lambda picture: picture.astype(np.float32) / 255, call, rounded)


def integer_arrays(call: Callable[[np.ndarray, tuple[int, int]], np.ndarray]) -> Resizer:
    """Return what calls a function of uint8 arrays (H, W, 3)."""
    return Resizer(lambda picture: picture, call, np.asarray)


def rounded(values: np.ndarray) -> np.ndarray:
    """Return values in [0, 1], and a little beyond, as uint8, halves up."""
    return np.floor(np.clip(values, 0, 1).astype(np.float64) * 255 + 0.5).astype(np.uint8)


def _fastsr() -> Resizer:
    return float_tensors(lambda x, size: fastsr.resize(x, size=size))


def _imresize() -> Resizer:
    return float_tensors(lambda x, size: imresize(x, size=size))


def _fastsr_integers() -> Resizer:
    return integer_arrays(lambda x, size: fastsr.resize(x, size=size))


def _fastsr_replicate() -> Resizer:
    return integer_arrays(lambda x, size: fastsr.resize(x, size=size, border="replicate"))


def _torch() -> Resizer:
    return float_tensors(lambda x, size: F.interpolate(x, size, mode="bicubic", antialias=True))


def _torch_integers() -> Resizer:
    return Resizer(
        lambda picture: torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous(),
        lambda x, size: F.interpolate(x, size, mode="bicubic", antialias=True),
        lambda large: large[0].permute(1, 2, 0).numpy(),
    )


def _kornia() -> Resizer:
    resize = load("kornia.geometry.transform").resize
    return float_tensors(lambda x, size: resize(x, size, interpolation="bicubic", antialias=True))


def _resize_right() -> Resizer:
    resize = load("resize_right").resize
    return float_tensors(
        lambda x, size: resize(x, scale_factors=size[0] / x.shape[-2], out_shape=size, pad_mode="replicate")
    )


def _basicsr() -> Resizer:
    imresize = load("basicsr.utils.matlab_functions").imresize

    def call(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        result: torch.Tensor = imresize(x[0], size[0] / x.shape[-2])
        return result[None]

    return float_tensors(call)


def _skimage() -> Resizer:
    resize = load("skimage.transform").resize

    def call(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        shrinks = size[0] < x.shape[0]
        result: np.ndarray = resize(x, size, order=3, mode="symmetric", anti_aliasing=shrinks)
        return result

    return float_arrays(call)


def _pillow() -> Resizer:
    image = load("PIL.Image")
    return Resizer(
        image.fromarray,
        lambda x, size: x.resize((size[1], size[0]), image.Resampling.BICUBIC),
        np.asarray,
    )


def _opencv(kind: Callable[..., Resizer], interpolation: str) -> Resizer:
    cv2 = load("cv2")
    cv2.setNumThreads(torch.get_num_threads())
    flag = getattr(cv2, interpolation)
    return kind(lambda x, size: cv2.resize(x, (size[1], size[0]), interpolation=flag))


MAKERS: dict[str, Callable[[], Resizer]] = {
    "fastsr": _fastsr,
    "fastsr.imresize.imresize, for tensors": _imresize,
    "torch, antialias": _torch,
    "kornia, antialias": _kornia,
    "resize-right": _resize_right,
    "BasicSR imresize": _basicsr,
    "scikit-image, anti_aliasing": _skimage,
    "OpenCV INTER_CUBIC": lambda: _opencv(float_arrays, "INTER_CUBIC"),
    "OpenCV INTER_AREA": lambda: _opencv(float_arrays, "INTER_AREA"),
    "fastsr, uint8": _fastsr_integers,
    OLD_MATLAB: _fastsr_replicate,
    "torch, uint8, antialias": _torch_integers,
    "Pillow BICUBIC, uint8": _pillow,
    "OpenCV INTER_CUBIC, uint8": lambda: _opencv(integer_arrays, "INTER_CUBIC"),
    "OpenCV INTER_AREA, uint8": lambda: _opencv(integer_arrays, "INTER_AREA"),
}


def make(name: str) -> Resizer:
    """Return the resizer called `name`."""
    return MAKERS[name]()


def ready(work: Resizer, side: int, large: int) -> Callable[[], Any]:
    """Return the call that resizes a picture of `side` pixels to `large`."""
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    x = work.take(picture)
    return lambda: work.call(x, (large, large))


def has_gradient(work: Resizer) -> bool:
    """Return whether a gradient flows from the result to the picture."""
    x = work.take(np.full((32, 32, 3), 100, np.uint8))
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        return False
    result = work.call(x.requires_grad_(), (8, 8))
    if not result.requires_grad:
        return False
    result.sum().backward()
    return x.grad is not None and bool(x.grad.any())


def agreement(work: Resizer, folder: Path) -> dict[str, float]:
    """Compare with the files that MATLAB made of the pictures of a benchmark; see `differences`."""
    found = []
    protocol = find_protocol("colour8")
    for sample in find_benchmark(folder, FACTOR).samples:
        case = protocol.prepare(sample, FACTOR)
        hr, lr = (picture.permute(1, 2, 0).contiguous().numpy() for picture in (case.hr, case.lr))
        found.append((work.give(work.call(work.take(hr), lr.shape[:2])), lr))
    return differences(found)


def differences(pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Return how results differ from MATLAB's, all uint8 (H, W, 3).

    Returns:
        `percent` of the values that differ, and the `most` that one does, in levels; `percent_inside` and `most_inside`
        are without the `BORDER` of each picture.
    """
    inside = slice(BORDER, -BORDER)
    off = [np.abs(ours.astype(int) - theirs) for ours, theirs in pairs]
    whole, inner = (np.concatenate([one.ravel() for one in some]) for some in (off, [x[inside, inside] for x in off]))
    return {
        "values": int(whole.size),
        "differing": int((whole != 0).sum()),
        "percent": 100 * float((whole != 0).mean()),
        "most": int(whole.max()),
        "percent_inside": 100 * float((inner != 0).mean()),
        "most_inside": int(inner.max()),
    }


def measure(
    data: Path,
    names: tuple[str, ...] = tuple(MAKERS),
    sides: tuple[int, ...] = SIDES,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
) -> dict[str, Any]:
    """Measure the rivals called `names`; return a row for each and each size, how they agree, and what failed.

    Args:
        data: the folder that holds Set14.
        names: of `MAKERS`.
        sides: of the pictures.
        rounds, seconds: see `turns.take_turns`.
    """
    rows = []
    with rivals(make, names) as (found, failures):
        agree = [
            {"rival": name, "gradient": rival.ask(has_gradient), **rival.ask(agreement, data / "Set14")}
            for name, rival in found.items()
        ]
        for case, scale in (("down", 1 / FACTOR), ("up", FACTOR)):
            able = {name: rival for name, rival in found.items() if name != OLD_MATLAB}  # it takes as long as without
            for side in sides:
                costs = take_turns(able, ready, side, round(scale * side), rounds=rounds, seconds=seconds)
                rows += [{"rival": name, "case": case, "side": side, **cost} for name, cost in costs.items()]
                longer = (sides[-1] / side) ** 2
                able = {
                    name: rival
                    for name, rival in able.items()
                    if name in OURS or longer * costs[name]["seconds"] < seconds  # others are compared with ours
                }
    return {"rows": rows, "agreement": agree, "failures": failures}
