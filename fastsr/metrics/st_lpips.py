"""ST-LPIPS, a perceptual distance that tolerates small shifts (Ghildyal and Liu 2022, arXiv 2207.13686).

The network is AlexNet or VGG16 in which every reduction blurs before it drops pixels (Zhang 2019, arXiv 1904.11486).
Its features, and the gradients that flow back through them, therefore do not depend on where a pixel lies in a grid of
2 or 4 pixels. That makes it a content loss that leaves no checkerboard artifacts, too: see `fastsr.srgan.losses`.

The weights (BSD-2-Clause) are read from the package stlpips_pytorch, of which no code is run, or from a file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints.reading import Contents, read
from ..checkpoints.sources import locate
from ..checks import choice
from ..errors import InputError, MissingFileError
from ..runtime.device import resolve_device
from .color import pictures, shaved, size_of

Net = Literal["alex", "vgg"]

PACKAGE = "stlpips_pytorch"
FILES = {"alex": "alex_shift_tolerant.pth", "vgg": "vgg_shift_tolerant.pth"}
NORM_EPS = 1e-10
"""Added to the length of a feature vector before the vector is divided by it."""
BLUR_PAD = 2
"""Pixels by which a feature map is reflected before it is blurred and halved."""

# Each level ends where its features are taken. A step is the key of a convolution with its padding and whether the blur
# follows before the ReLU, or the key of the blur that follows a max pooling.
Step = tuple[str, int, str | None]
LEVELS: dict[str, tuple[tuple[str | None, tuple[Step, ...]], ...]] = {
    "alex": (
        (None, (("net.slice1.0", 2, "net.slice1.1"),)),
        ("net.slice2.4", (("net.slice2.5", 2, None),)),
        ("net.slice3.8", (("net.slice3.9", 1, None),)),
        (None, (("net.slice4.11", 1, None),)),
        (None, (("net.slice5.13", 1, None),)),
    ),
    "vgg": (
        (None, (("net.slice1.0", 1, None), ("net.slice1.2", 1, None))),
        ("net.slice2.5", (("net.slice2.6", 1, None), ("net.slice2.8", 1, None))),
        ("net.slice3.11", tuple((f"net.slice3.{place}", 1, None) for place in (12, 14, 16))),
        ("net.slice4.19", tuple((f"net.slice4.{place}", 1, None) for place in (20, 22, 24))),
        ("net.slice5.27", tuple((f"net.slice5.{place}", 1, None) for place in (28, 30, 32))),
    ),
}
POOLED = {"alex": 3, "vgg": 2}
"""Side of the max pooling before each blur."""
LEAST_SIDE = {"alex": 32, "vgg": 32}


class ShiftTolerantFeatures(nn.Module):
    """The features of one of the two networks, frozen.

    Args:
        net: "alex" or "vgg".
        contents: the tensors of its file.
        levels: how many of the five feature maps to compute.

    Raises:
        InputError: the file is of another network.
    """

    def __init__(self, net: Net, contents: Contents, levels: int = 5):
        super().__init__()
        self.net, self.levels = net, LEVELS[net][:levels]
        keys = ["scaling_layer.shift", "scaling_layer.scale"]
        for index, (blur, steps) in enumerate(self.levels):
            keys += [f"{blur}.filt"] if blur else []
            keys += [f"{module}.{part}" for module, _, _ in steps for part in ("weight", "bias")]
            keys += [f"{after}.filt" for _, _, after in steps if after]
            keys.append(f"lin{index}.model.1.weight")
        for key in keys:
            if key not in contents.tensors:
                raise InputError(f"{contents.name} has no {key!r}; give {FILES[net]} of the package {PACKAGE}")
            self.register_buffer(key.replace(".", "_"), contents.tensors[key].float(), persistent=False)

    def _tensor(self, key: str) -> Tensor:
        tensor = getattr(self, key.replace(".", "_"))
        assert isinstance(tensor, Tensor)
        return tensor

    def forward(self, colors: Tensor) -> list[Tensor]:
        """Map colors (N, 3, H, W) in [0, 1] to the feature maps (N, C_k, h_k, w_k) of each level."""
        h = (2 * colors - 1 - self._tensor("scaling_layer.shift")) / self._tensor("scaling_layer.scale")
        maps = []
        for blur, steps in self.levels:
            if blur:
                h = self._halve(F.max_pool2d(h, POOLED[self.net], 1), blur)
            for module, padding, after in steps:
                h = F.conv2d(h, self._tensor(f"{module}.weight"), self._tensor(f"{module}.bias"), padding=padding)
                h = F.relu(self._halve(h, after) if after else h)
            maps.append(h)
        return maps

    def _halve(self, x: Tensor, key: str) -> Tensor:
        """Blur by the 3x3 binomial kernel and keep every second row and column."""
        kernel = self._tensor(f"{key}.filt").to(x.dtype)
        return F.conv2d(F.pad(x, (BLUR_PAD,) * 4, mode="reflect"), kernel, stride=2, groups=x.shape[1])

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return ST-LPIPS of color images (N, 3, H, W) in [0, 1], (N,); gradients flow to both.

        At every level the feature vectors of each pixel are scaled to length 1; their squared differences, weighted by
        channel, are averaged over the pixels, and the levels are added.
        """
        total = a.new_zeros(len(a))
        for index, (x, y) in enumerate(zip(self(a), self(b), strict=True)):
            difference = (_unit_length(x) - _unit_length(y)).square()
            weight = self._tensor(f"lin{index}.model.1.weight").reshape(1, -1, 1, 1)
            total = total + (weight * difference).sum(1).mean((-2, -1))
        return total


def load_features(net: Net, weights: str | os.PathLike[str] | None = None, levels: int = 5) -> ShiftTolerantFeatures:
    """Return one of the two networks with its weights.

    Args:
        net: "alex" or "vgg".
        weights: path or URL of its file; None for that of the package stlpips_pytorch.
        levels: how many of the five feature maps to compute.

    Raises:
        MissingFileError: the package is not installed, or the file is not there.
        InputError: the file is of another network.
    """
    if weights is None:
        package = find_spec(PACKAGE)
        if package is None or not package.submodule_search_locations:
            raise MissingFileError(
                f"ST-LPIPS needs the weights of the package {PACKAGE}, which is not installed: "
                f"pip install --no-deps {PACKAGE}, or give the path of {FILES[net]}"
            )
        weights = Path(next(iter(package.submodule_search_locations))) / "weights" / "vST0.0" / FILES[net]
    return ShiftTolerantFeatures(net, read(locate(weights), prefixed=False), levels)


def st_lpips(
    a: Any,
    b: Any,
    *,
    net: Net = "alex",
    shave: int = 0,
    weights: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
) -> float | list[float]:
    """Return ST-LPIPS of two images: 0 for equal images, lower is more alike.

    Args:
        a: an image of any kind that `images.read` takes, or a list or batch of them. Grey counts as equal R, G, B.
        b: the image or images to compare with, of the same sizes.
        net: "alex", as in the paper's tables, or "vgg".
        shave: pixels to leave out at each border.
        weights: see `load_features`.
        device: where to compute; None for where the image is.

    Returns:
        A float; for lists and batches a list with one float per image.

    Raises:
        InputError: sizes or numbers of images differ, or an image is smaller than 32x32 pixels.
        MissingFileError: there are no weights.
        DeviceError: there is no such device.
    """
    choice("net", net, FILES)
    where = None if device is None else resolve_device(device)
    first, single = pictures(a, "a")
    second, _ = pictures(b, "b")
    if len(first) != len(second):
        raise InputError(f"a has {len(first)} images and b has {len(second)}; give as many of each")
    features = load_features(net, weights)
    values = []
    for x, y in zip(_prepared(first, shave, where), _prepared(second, shave, where), strict=True):
        if x.shape != y.shape:
            raise InputError(f"a is {size_of(x)} pixels and b is {size_of(y)}; images to compare have one size")
        if min(x.shape[-2:]) < LEAST_SIDE[net]:
            raise InputError(f"a is {size_of(x)} pixels; ST-LPIPS needs at least {LEAST_SIDE[net]} a side")
        with torch.no_grad():
            values.append(float(features.to(x.device).distance(x, y)))
    return values[0] if single else values


def _prepared(images: Sequence[Tensor], shave: int, device: torch.device | None) -> list[Tensor]:
    """Return images (1, 3, H, W) in float32 on the device, cropped by `shave`."""
    kept = [shaved(image, shave) for image in images]
    return [(image if device is None else image.to(device)).float().expand(1, 3, -1, -1) for image in kept]


def _unit_length(x: Tensor) -> Tensor:
    # The square root has no finite gradient at 0, where a smallest number is added; it changes no value.
    return x / ((x.square().sum(1, keepdim=True) + torch.finfo(x.dtype).tiny).sqrt() + NORM_EPS)
