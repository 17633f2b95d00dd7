"""Features of VGG19, of which SRGAN makes its content loss (Ledig et al., arXiv 1609.04802)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import torch
from torch import Tensor, nn

from ..checkpoints.layouts import Layout, load_as, load_into, rename_keys
from ..checkpoints.reading import Contents, read
from ..checkpoints.sources import locate
from ..checks import input_error, spell
from ..errors import InputError
from ..nn import ReflectConv2d
from .checkpoints import RANGES

BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and convolutions of each block; a max pooling is between two blocks."""


@dataclass(frozen=True)
class Convolution:
    """A convolution of VGG19.

    Attributes:
        name: "vgg", the block and the place in it, as in "vgg54", which is what its features are called too.
        block: counted from 1.
        shape: of its weight: outputs, inputs, height, width.
    """

    name: str
    block: int
    shape: tuple[int, int, int, int]


def _convolutions() -> Iterator[Convolution]:
    inputs = 3
    for block, (width, count) in enumerate(BLOCKS, 1):
        for place in range(1, count + 1):
            yield Convolution(f"vgg{block}{place}", block, (width, inputs, 3, 3))
            inputs = width


CONVOLUTIONS = tuple(_convolutions())
PREPARE = Convolution("prepare", 0, (3, 3, 1, 1))
"""Comes first, and brings colours in [0, 1] to what the network takes."""


@dataclass(frozen=True, eq=False)
class VGGWeights:
    """What a file of VGG19 holds, and how its network differs from others.

    Attributes:
        layout: the name of the layout.
        tensors: by "prepare.weight", "vgg11.weight", "vgg11.bias" and so on; may have others.
        layers: that it has, in order.
        reflect: whether convolutions see their input reflected at its border; else they see zeros there.
        ceil: whether a pooling keeps the last of an odd number of rows or columns.
        scale: what features are multiplied by, for a content loss of the size of the pixel loss.
    """

    layout: str
    tensors: Mapping[str, Tensor]
    layers: tuple[str, ...]
    reflect: bool
    ceil: bool
    scale: float


Modules = Mapping[str, Convolution]
"""Convolutions by their names in a file."""


def _numbered(prefix: str, first: int, step: int) -> dict[str, Convolution]:
    """Return the names in an nn.Sequential.

    Args:
        prefix: before the number.
        first: number of the first convolution.
        step: from one convolution to the next; a pooling between them adds 1.
    """
    numbers = (first + step * index + convolution.block - 1 for index, convolution in enumerate(CONVOLUTIONS))
    return {f"{prefix}{number}": convolution for number, convolution in zip(numbers, CONVOLUTIONS, strict=True)}


def _is_of(modules: Modules, contents: Contents) -> bool:
    """Whether the convolutions of a file are the first of `modules`, and nothing else."""
    found = {key: tuple(tensor.shape) for key, tensor in contents.tensors.items() if tensor.ndim == 4}
    wanted = [(f"{module}.weight", convolution.shape) for module, convolution in modules.items()]
    return found == dict(wanted[: len(found)]) and bool(_layers(modules, contents))


def _layers(modules: Modules, contents: Contents) -> tuple[str, ...]:
    present = (convolution for module, convolution in modules.items() if contents.has(f"{module}.weight"))
    return tuple(convolution.name for convolution in present if convolution is not PREPARE)


def _renamed(modules: Modules, contents: Contents) -> dict[str, Tensor]:
    return rename_keys(contents, {module: convolution.name for module, convolution in modules.items()})


def _torchvision(modules: Modules, contents: Contents) -> VGGWeights:
    mean, deviation = (torch.tensor(values) for values in RANGES["imagenet"])
    prepare = {"prepare.weight": torch.diag(1 / deviation)[:, :, None, None], "prepare.bias": -mean / deviation}
    return VGGWeights(
        "torchvision VGG19",
        _renamed(modules, contents) | prepare,
        _layers(modules, contents),
        reflect=False,
        ceil=False,
        # With vgg54 as it is and 1e-3 of the adversarial loss, others have come within 0.5 dB of the paper's PSNR.
        scale=1.0,
    )


def _normalised(modules: Modules, contents: Contents) -> VGGWeights:
    return VGGWeights(
        "normalised VGG19",
        _renamed(modules, contents),
        _layers(modules, contents),
        reflect=True,
        ceil=True,
        # The paper's factor, by which it makes the content loss comparable to the pixel loss. So it does here: the mean
        # of vgg22 is 0.7 to 1.5 over the images of Set5, and of bicubic Set5 x4 the content loss is 1.3 to 1.7 times
        # the pixel loss. Without the factor it would be 217 to 271 times.
        scale=1 / 12.75,
    )


TORCHVISION = _numbered("features.", first=0, step=2)
TORCHVISION_FEATURES = _numbered("", first=0, step=2)
NORMALISED = {"0": PREPARE} | _numbered("", first=2, step=3)

VGG_LAYOUTS = (
    Layout("torchvision VGG19", partial(_is_of, TORCHVISION), partial(_torchvision, TORCHVISION)),
    Layout(
        "torchvision VGG19.features",
        partial(_is_of, TORCHVISION_FEATURES),
        partial(_torchvision, TORCHVISION_FEATURES),
    ),
    Layout("normalised VGG19", partial(_is_of, NORMALISED), partial(_normalised, NORMALISED)),
)


LAYERS = tuple(convolution.name for convolution in CONVOLUTIONS)
"""Features that can be asked for, from "vgg11" to "vgg54"."""
PUBLIC_WEIGHTS = (
    "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
    "#sha256=dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"
)
"""What torchvision calls VGG19_Weights.IMAGENET1K_V1, 548 MiB."""


class VGGFeatures(nn.Module):
    """VGG19 up to a convolution and its ReLU: the paper's phi_ij is "vgg{i}{j}". It is frozen.

    Args:
        layer: one of `LAYERS`.
        reflect: whether convolutions see their input reflected at its border; else they see zeros there.
        ceil: whether a pooling keeps the last of an odd number of rows or columns.
        scale: what the features are multiplied by.
    """

    def __init__(self, layer: str, reflect: bool = False, ceil: bool = False, scale: float = 1.0):
        super().__init__()
        self.layer, self.scale = layer, scale
        self.layers = nn.Sequential()
        self.layers.add_module(PREPARE.name, nn.Conv2d(3, 3, 1))
        convolutions = CONVOLUTIONS[: LAYERS.index(layer) + 1]
        for block, members in groupby(convolutions, key=lambda convolution: convolution.block):
            if block > 1:
                self.layers.add_module(f"pool{block - 1}", nn.MaxPool2d(2, ceil_mode=ceil))
            for convolution in members:
                outputs, inputs, *_ = convolution.shape
                made = ReflectConv2d(inputs, outputs, 3) if reflect else nn.Conv2d(inputs, outputs, 3, padding=1)
                self.layers.add_module(convolution.name, made)
                self.layers.add_module(f"{convolution.name}_relu", nn.ReLU(inplace=True))
        self.requires_grad_(False).eval()

    def forward(self, colours: Tensor) -> Tensor:
        """Map colours (N, 3, H, W) in [0, 1] to features (N, C, h, w).

        Gradients reach `colours`, which may go beyond their range. C is 64 to 512; h is H halved for each block before
        the layer's, w likewise.
        """
        return self.scale * self.layers(colours)

    def train(self, mode: bool = True) -> VGGFeatures:
        """Return itself in inference mode, which it never leaves."""
        return super().train(False)


def load_features(layer: str, weights: str | os.PathLike[str] | None = None) -> VGGFeatures:
    """Return VGG19 up to `layer`, with the weights of a file.

    Args:
        layer: "vgg54" or "vgg22" as in the paper, or any other of `LAYERS`: the block and the place in it.
        weights: a path or URL, see `fastsr.checkpoints.sources.locate`, of torchvision's VGG19 or of the normalised
            one; None for torchvision's public file, which is downloaded once.

    Raises:
        InputTypeError, InputError, MissingFileError, OutputError: see `locate` and `fastsr.checkpoints.reading.read`;
            also where there is no such layer, in VGG19 or in the file, or the file is of another network.
    """
    if layer not in LAYERS:
        raise input_error("layer", layer, "is none of VGG19", f"give one of {', '.join(LAYERS)}")
    contents = read(locate(PUBLIC_WEIGHTS if weights is None else weights))
    found = load_as(contents, VGG_LAYOUTS)
    if layer not in found.layers:
        raise InputError(
            f"{contents.name} goes up to {found.layers[-1]}; for {spell('layer', layer)} give a "
            "larger file, or None for torchvision's"
        )
    features = VGGFeatures(layer, reflect=found.reflect, ceil=found.ceil, scale=found.scale)
    own = features.layers.state_dict()
    load_into(
        lambda: features.layers,
        {key: value for key, value in found.tensors.items() if key in own},
        contents,
        found.layout,
    )
    return features
