"""Features of VGG19, of which SRGAN makes its content loss (Ledig et al., arXiv 1609.04802)."""

from __future__ import annotations

import os
from itertools import groupby

from torch import Tensor, nn

from ..checkpoints.formats import fill, load_as
from ..checkpoints.reading import read
from ..checkpoints.sources import locate
from ..errors import InputError
from ..nn import ReflectConv2d
from .vgg_layouts import CONVOLUTIONS, PREPARE, VGG_LAYOUTS

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
        raise InputError(f"layer={layer!r} is none of VGG19; give one of {', '.join(LAYERS)}")
    contents = read(locate(PUBLIC_WEIGHTS if weights is None else weights))
    found = load_as(contents, VGG_LAYOUTS)
    if layer not in found.layers:
        raise InputError(
            f"{contents.name} goes up to {found.layers[-1]}; for layer={layer!r} give a larger file, or None for "
            "torchvision's"
        )
    features = VGGFeatures(layer, reflect=found.reflect, ceil=found.ceil, scale=found.scale)
    own = features.layers.state_dict()
    fill(
        lambda: features.layers,
        {key: value for key, value in found.tensors.items() if key in own},
        contents,
        found.layout,
    )
    return features
