"""The layouts in which VGG19 (Simonyan and Zisserman, arXiv 1409.1556) is kept, whole or up to some convolution.

A file has a layout if its convolutions are VGG19's by number and shape. Those of VGG16, and those that have batch norms
between them, are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..checkpoints.formats import Format, renamed
from ..checkpoints.reading import Contents
from .checkpoint import RANGES

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
    return renamed(contents, {module: convolution.name for module, convolution in modules.items()})


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
        # of vgg22 is 0.7 to 1.5 over the pictures of Set5, and of bicubic Set5 x4 the content loss is 1.3 to 1.7 times
        # the pixel loss. Without the factor it would be 217 to 271 times.
        scale=1 / 12.75,
    )


TORCHVISION = _numbered("features.", first=0, step=2)
TORCHVISION_FEATURES = _numbered("", first=0, step=2)
NORMALISED = {"0": PREPARE} | _numbered("", first=2, step=3)

VGG_LAYOUTS = (
    Format("torchvision VGG19", partial(_is_of, TORCHVISION), partial(_torchvision, TORCHVISION)),
    Format(
        "torchvision VGG19.features",
        partial(_is_of, TORCHVISION_FEATURES),
        partial(_torchvision, TORCHVISION_FEATURES),
    ),
    Format("normalised VGG19", partial(_is_of, NORMALISED), partial(_normalised, NORMALISED)),
)
