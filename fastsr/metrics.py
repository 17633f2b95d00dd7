"""How close a picture is to a reference, by named protocols.

A PSNR without its protocol is not a number: on the same picture protocols differ by more than methods do.

- "rgb8", what networks report: both pictures rounded to 8-bit RGB, luma Y in floating point;
- "matlab8", what MATLAB code reports: both rounded to 8-bit RGB, Y rounded to 8 bits too;
- "float", what Deep Image Prior reports: nothing is rounded.

Y is BT.601 luma from 16 to 235, Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255 of R, G, B from 0 to 255. A grey
picture is its own Y, unscaled, as MATLAB code has it; beside a colour picture it counts as one of equal R, G, B.
The peak is 255 in every protocol. Alpha is ignored. Tables of networks use channel="y" with shave = factor,
Deep Image Prior channel="y" with shave=4.

`niqe` needs no reference: see docs/niqe.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from .checks import choice
from .errors import InputError
from .images import read
from .niqe.score import niqe as niqe
from .planes import LUMA as LUMA
from .planes import PEAK, check_shave, levels, levels8, luma, luma8, pictures, shaved, size_of
from .resize import resize

Channel = Literal["y", "rgb"]
Protocol = Literal["rgb8", "matlab8", "float"]

CHANNELS = ("y", "rgb")
PROTOCOLS = ("rgb8", "matlab8", "float")
WINDOW = 11
SIGMA = 1.5


def psnr(a: Any, b: Any, *, channel: Channel = "y", shave: int = 0, protocol: Protocol = "rgb8") -> float | list[float]:
    """Return the peak signal-to-noise ratio 10 log10(255^2 / MSE) in dB; infinity for equal pictures.

    Args:
        a: a picture of any kind that `images.read` takes, or a sequence or batch of them.
        b: the picture or pictures to compare with, of the same sizes.
        channel: "y" for luma, "rgb" for the mean over all three channels.
        shave: pixels to leave out at each border.
        protocol: "rgb8", "matlab8" or "float", as this module says.

    Returns:
        A float; for lists and batches a list with one float a picture.

    Raises:
        InputError: sizes or numbers of pictures differ, `shave` leaves nothing, or an option is unknown.
    """
    return _compare(a, b, _psnr, channel, shave, protocol)


def ssim(a: Any, b: Any, *, channel: Channel = "y", shave: int = 0, protocol: Protocol = "rgb8") -> float | list[float]:
    """Return the structural similarity (Wang et al., 2004), 1 for equal pictures.

    Gaussian window of 11x11 and sigma 1.5, only where it lies inside the picture, K = (0.01, 0.03), L = 255. With
    channel="rgb" it is the mean over the three channels. Arguments, result and errors are those of `psnr`; after
    `shave` each side has at least 11 pixels.
    """
    return _compare(a, b, _ssim, channel, shave, protocol)


def lr_consistency(
    result: Any, lr: Any, *, downscale: Callable[[Tensor, tuple[int, int]], Any] | None = None
) -> float | list[float]:
    """Return how well a result explains its input: the PSNR in dB, on RGB, of the downscaled result against it.

    The result is rounded to 8 bits before, as a file of it would be. Infinity for a result that explains every pixel.

    Args:
        result: a picture of any kind that `images.read` takes, or a sequence or batch of them.
        lr: the picture or pictures that `result` was made from.
        downscale: how pictures are made smaller: called with a uint8 tensor (C, H, W) and (height, width), it returns
            a picture of any kind. The default is MATLAB's bicubic imresize.

    Returns:
        A float; for lists and batches a list with one float a picture.

    Raises:
        InputError: numbers of pictures differ.
    """
    (large, single), (small, _) = pictures(result, "result"), pictures(lr, "lr")
    if len(large) != len(small):
        raise InputError(f"result has {len(large)} pictures and lr has {len(small)}; they are compared in pairs")
    values = []
    for picture, target in zip(large, small, strict=True):
        rounded = (picture * PEAK + 0.5).floor().to(torch.uint8)
        size = (target.shape[-2], target.shape[-1])
        downscaled = resize(rounded, size=size) if downscale is None else downscale(rounded, size)
        again = read(downscaled, "what downscale returned").pixels[0].to(target.device)
        values.append(_psnr(_planes(again, "rgb", "rgb8"), _planes(target, "rgb", "rgb8")))
    return values[0] if single else values


def _compare(
    a: Any, b: Any, measure: Callable[[Tensor, Tensor], float], channel: str, shave: int, protocol: str
) -> float | list[float]:
    _check_options(channel, shave, protocol)
    (first, single), (second, _) = pictures(a, "a"), pictures(b, "b")
    if len(first) != len(second):
        raise InputError(f"a has {len(first)} pictures and b has {len(second)}; they are compared in pairs")
    values = []
    for x, y in zip(first, second, strict=True):
        if x.shape[1:] != y.shape[1:]:
            raise InputError(f"a is {size_of(x)} pixels and b is {size_of(y)}; pictures to compare have one size")
        channels = max(len(x), len(y))
        x, y = x.expand(channels, -1, -1), y.to(x.device).expand(channels, -1, -1)
        planes = [shaved(_planes(colours, channel, protocol), shave) for colours in (x, y)]
        values.append(measure(*planes))
    return values[0] if single else values


def _check_options(channel: str, shave: int, protocol: str) -> None:
    choice("channel", channel, CHANNELS)
    choice("protocol", protocol, PROTOCOLS)
    check_shave(shave)


def _planes(colours: Tensor, channel: str, protocol: str) -> Tensor:
    """Return what is compared: float64 (1 or 3, H, W) from 0 to 255."""
    values = levels(colours) if protocol == "float" else levels8(colours)
    if channel == "rgb":
        return values
    return luma8(values) if protocol == "matlab8" else luma(values)


def _psnr(a: Tensor, b: Tensor) -> float:
    return (10 * torch.log10(PEAK**2 / (a - b).square().mean())).item()


def _ssim(a: Tensor, b: Tensor) -> float:
    if min(a.shape[-2:]) < WINDOW:
        raise InputError(f"SSIM needs at least {WINDOW} pixels on each side after shave; there are {size_of(a)}")
    offsets = torch.arange(WINDOW, dtype=a.dtype, device=a.device) - WINDOW // 2
    window = torch.exp(-0.5 * (offsets / SIGMA) ** 2)
    window /= window.sum()

    def local_mean(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x[:, None], window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))

    mean_a, mean_b = local_mean(a), local_mean(b)
    variance_a = local_mean(a * a) - mean_a**2
    variance_b = local_mean(b * b) - mean_b**2
    covariance = local_mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity /= (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    return similarity.mean().item()
