"""VGG19 features for the content loss of SRGAN (Ledig et al., arXiv 1609.04802).

To support the weights of another project, add a function that returns `VGGWeights` and a row to `VGG_LAYOUTS`.
"""

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
"""The channels and the number of convolutions of each block; blocks are separated by max pooling."""


@dataclass(frozen=True)
class Convolution:
    """A convolution of VGG19.

    Attributes:
        name: name of the convolution and of its features: "vgg54" is the fourth convolution of the fifth block.
        block: number of the block, from 1.
        shape: shape of the weight: (outputs, inputs, height, width).
    """

    name: str
    block: int
    shape: tuple[int, int, int, int]


def _list_convolutions() -> Iterator[Convolution]:
    inputs = 3
    for block, (width, count) in enumerate(BLOCKS, 1):
        for number in range(1, count + 1):
            yield Convolution(f"vgg{block}{number}", block, (width, inputs, 3, 3))
            inputs = width


CONVOLUTIONS = tuple(_list_convolutions())
"""The convolutions of VGG19, in order."""
LAYERS = tuple(convolution.name for convolution in CONVOLUTIONS)
"""The layers whose features can be used, from "vgg11" to "vgg54"."""
PREPARE = Convolution("prepare", 0, (3, 3, 1, 1))
"""The 1x1 convolution before the first one, which normalizes colours in [0, 1]."""
PUBLIC_WEIGHTS = (
    "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
    "#sha256=dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"
)
"""torchvision's VGG19_Weights.IMAGENET1K_V1, 548 MiB."""


class VGGFeatures(nn.Module):
    """VGG19 up to a convolution and its ReLU, frozen: the paper's phi_ij is "vgg{i}{j}".

    Args:
        layer: one of `LAYERS`.
        reflect: whether convolutions pad by reflection; otherwise with zeros.
        ceil: whether poolings keep the last of an odd number of rows or columns.
        scale: factor by which the features are multiplied.
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
                module = ReflectConv2d(inputs, outputs, 3) if reflect else nn.Conv2d(inputs, outputs, 3, padding=1)
                self.layers.add_module(convolution.name, module)
                self.layers.add_module(f"{convolution.name}_relu", nn.ReLU(inplace=True))
        self.requires_grad_(False).eval()

    def forward(self, colours: Tensor) -> Tensor:
        """Map colours (N, 3, H, W) in [0, 1] to features (N, C, h, w).

        Values beyond [0, 1] are allowed, and gradients reach `colours`. C is 64 to 512. h is H halved once for each
        block before the layer's, and w likewise.
        """
        return self.scale * self.layers(colours)

    def train(self, mode: bool = True) -> VGGFeatures:
        """Return the network itself, which always stays in inference mode."""
        return super().train(False)


def load_features(
    layer: str, weights: str | os.PathLike[str] | None = None, *, argument: str = "weights"
) -> VGGFeatures:
    """Return VGG19 up to `layer`, with the weights of a file.

    Args:
        layer: "vgg54" or "vgg22" as in the paper, or any other of `LAYERS`.
        weights: a path or URL, see `fastsr.checkpoints.sources.locate`, of torchvision's VGG19 or of the normalised
            one; None for torchvision's public file, which is downloaded once.
        argument: name of the argument that gave the weights, for errors.

    Raises:
        InputTypeError, InputError, MissingFileError, OutputError: see `locate` and `fastsr.checkpoints.reading.read`;
            also if VGG19 or the file has no such layer, or if the file is of another network.
    """
    if layer not in LAYERS:
        raise input_error("layer", layer, "is none of VGG19", f"give one of {', '.join(LAYERS)}")
    path = locate(PUBLIC_WEIGHTS if weights is None else weights, argument=argument)
    contents = read(path, argument=argument)
    loaded = load_as(contents, VGG_LAYOUTS)
    if layer not in loaded.layers:
        raise InputError(
            f"{contents.name} goes up to {loaded.layers[-1]}; for {spell('layer', layer)} give a larger file, or None "
            "for torchvision's"
        )
    features = VGGFeatures(layer, reflect=loaded.reflect, ceil=loaded.ceil, scale=loaded.scale)
    keys = features.layers.state_dict()
    tensors = {key: value for key, value in loaded.tensors.items() if key in keys}
    load_into(lambda: features.layers, tensors, contents, loaded.layout)
    return features


@dataclass(frozen=True, eq=False)
class VGGWeights:
    """The weights in a file of VGG19, and how its network differs from that of other files.

    Attributes:
        layout: name of the layout.
        tensors: tensors by "prepare.weight", "vgg11.weight", "vgg11.bias" and so on; other keys are ignored.
        layers: names of the convolutions in the file, in order.
        reflect: whether convolutions pad by reflection; otherwise with zeros.
        ceil: whether poolings keep the last of an odd number of rows or columns.
        scale: factor for features that makes the content loss comparable to the pixel loss.
    """

    layout: str
    tensors: Mapping[str, Tensor]
    layers: tuple[str, ...]
    reflect: bool
    ceil: bool
    scale: float


Modules = Mapping[str, Convolution]
"""The convolutions of VGG19 by their names in a file."""


def _number_modules(prefix: str, first: int, step: int) -> dict[str, Convolution]:
    """Return the convolutions by their names in an nn.Sequential.

    Args:
        prefix: prefix of the number.
        first: number of the first convolution.
        step: distance from one convolution to the next; a pooling between them adds 1.
    """
    numbers = (first + step * index + convolution.block - 1 for index, convolution in enumerate(CONVOLUTIONS))
    return {f"{prefix}{number}": convolution for number, convolution in zip(numbers, CONVOLUTIONS, strict=True)}


def _detect(modules: Modules, contents: Contents) -> bool:
    """Return whether the convolutions of a file are exactly the first ones of `modules`."""
    shapes = {key: tuple(tensor.shape) for key, tensor in contents.tensors.items() if tensor.ndim == 4}
    expected = [(f"{module}.weight", convolution.shape) for module, convolution in modules.items()]
    return shapes == dict(expected[: len(shapes)]) and bool(_list_layers(modules, contents))


def _list_layers(modules: Modules, contents: Contents) -> tuple[str, ...]:
    present = (convolution for module, convolution in modules.items() if contents.has(f"{module}.weight"))
    return tuple(convolution.name for convolution in present if convolution is not PREPARE)


def _rename(modules: Modules, contents: Contents) -> dict[str, Tensor]:
    return rename_keys(contents, {module: convolution.name for module, convolution in modules.items()})


def _load_torchvision(modules: Modules, contents: Contents) -> VGGWeights:
    mean, deviation = (torch.tensor(values) for values in RANGES["imagenet"])
    prepare = {"prepare.weight": torch.diag(1 / deviation)[:, :, None, None], "prepare.bias": -mean / deviation}
    return VGGWeights(
        "torchvision VGG19",
        _rename(modules, contents) | prepare,
        _list_layers(modules, contents),
        reflect=False,
        ceil=False,
        # With vgg54 unscaled and an adversarial weight of 1e-3, others have come within 0.5 dB of the paper's PSNR.
        scale=1.0,
    )


def _load_normalised(modules: Modules, contents: Contents) -> VGGWeights:
    return VGGWeights(
        "normalised VGG19",
        _rename(modules, contents),
        _list_layers(modules, contents),
        reflect=True,
        ceil=True,
        # The paper's factor, which makes the content loss comparable to the pixel loss. It does so here: the mean of
        # vgg22 is 0.7 to 1.5 over the images of Set5, and for bicubic Set5 x4 the content loss is 1.3 to 1.7 times the
        # pixel loss. Without the factor it would be 217 to 271 times.
        scale=1 / 12.75,
    )


TORCHVISION = _number_modules("features.", first=0, step=2)
TORCHVISION_FEATURES = _number_modules("", first=0, step=2)
NORMALISED = {"0": PREPARE} | _number_modules("", first=2, step=3)

VGG_LAYOUTS = (
    Layout("torchvision VGG19", partial(_detect, TORCHVISION), partial(_load_torchvision, TORCHVISION)),
    Layout(
        "torchvision VGG19.features",
        partial(_detect, TORCHVISION_FEATURES),
        partial(_load_torchvision, TORCHVISION_FEATURES),
    ),
    Layout("normalised VGG19", partial(_detect, NORMALISED), partial(_load_normalised, NORMALISED)),
)
"""The supported layouts of VGG19: name, test of the keys, loader. The first layout that detects a file loads it."""
