"""What a program that uses fastsr may write, for a type checker: nothing here runs.

`make lint` checks it, and .ci/installed does so beside the installed wheel. Each line with an ignore is a wrong use:
where fastsr's types did not notice it, mypy would complain of the ignore.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import fastsr
from fastsr.consistency import Downscale, project
from fastsr.errors import FastsrError, InputError
from fastsr.images import Picture
from fastsr.methods import Method, NoOptions, find, names, register
from fastsr.nn import GroupNorm, ReflectConv2d
from fastsr_kernels.noise import add_noise
from fastsr_kernels.resample import AxisTable, axis_table, resample


def the_kind_stays(tensor: Tensor, array: NDArray[np.uint8], image: Image.Image, path: Path) -> None:
    tensors: list[Tensor] = [fastsr.dip(tensor), fastsr.srgan(tensor), fastsr.pulse(tensor), fastsr.resize(tensor, 2)]
    arrays: list[NDArray[Any]] = [fastsr.dip(array, factor=2), fastsr.srgan(array), fastsr.resize(img=array, scale=2)]
    images: list[Image.Image] = [fastsr.dip(image), fastsr.pulse(image, steps=5), fastsr.resize(image, size=(4, 4))]
    print(len(tensors), len(arrays), len(images), fastsr.dip(path), fastsr.resize([path, path], 2), fastsr.sr3(path))
    array = fastsr.resize(tensor, 2)  # type: ignore[assignment]
    image = fastsr.srgan(tensor)  # type: ignore[assignment]


def arguments_have_types(tensor: Tensor) -> None:
    fastsr.dip(tensor, "2")  # type: ignore[call-overload]
    fastsr.dip(tensor, stepps=2)  # type: ignore[call-overload]
    fastsr.srgan(tensor, weights=3)  # type: ignore[call-overload]
    fastsr.pulse(tensor, eps="small")  # type: ignore[call-overload]
    fastsr.resize(tensor, 2, (4, 4))  # type: ignore[call-overload]
    fastsr.sr3(tensor, samples="four")  # type: ignore[arg-type]
    fastsr.save(tensor)  # type: ignore[call-arg]
    fastsr.load(tensor)  # type: ignore[arg-type]
    fastsr.metrics.psnr(tensor, tensor, channel="luma")  # type: ignore[arg-type]
    fastsr.dipp(tensor)  # type: ignore[attr-defined]


def files_and_metrics(path: Path) -> float:
    tensor: Tensor = fastsr.load(path, max_pixels=10**6)
    fastsr.save(project(tensor, path, kernel="lanczos3"), "out.png", bits=16)
    scores = [
        fastsr.metrics.psnr(path, tensor, channel="rgb", shave=4, protocol="float"),
        fastsr.metrics.ssim(path, tensor),
        fastsr.metrics.niqe(path),
        fastsr.metrics.lr_consistency(tensor, path),
    ]
    score = scores[0]
    return score if isinstance(score, float) else min(score)


def a_method_of_ones_own() -> Method:
    def upscale(picture: Picture, factor: int, options: NoOptions, device: torch.device, kernel: str) -> Picture:
        return picture

    register(Method("mine", "Mine.", NoOptions, upscale))
    register(Method("mine", "Mine.", NoOptions, len))  # type: ignore[arg-type]
    return find(names()[0])


def operations(tensor: Tensor) -> Tensor:
    rows: AxisTable = axis_table(8, 4, kernel="lanczos2", border="replicate")
    network: Callable[[Tensor], Tensor] = torch.nn.Sequential(ReflectConv2d(3, 8, 3), GroupNorm(4, 8, swish=True))
    small = Downscale((8, 8), (4, 4))(resample(network(tensor), rows, None, impl="torch"))
    resample(small, 4, 4)  # type: ignore[arg-type]
    ReflectConv2d(3, 8)  # type: ignore[call-arg]
    return add_noise(small, 0.1, seed=0, step=1)


def errors(path: str) -> str:
    try:
        fastsr.dip(path)
    except InputError as error:
        base: FastsrError = error
        value: ValueError = error
        return f"{base} {value}"
    return ""
