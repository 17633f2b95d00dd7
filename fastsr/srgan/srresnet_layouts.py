"""The layouts in which other projects keep an SRResNet.

Each says which of its modules is which of ours; blocks and channels are counted in keys and shapes. What a project does
otherwise than the paper is brought to our terms: a convolution without bias gets one of 0, ReLU is PReLU of slope 0,
and a batch norm that ours has not is folded.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..checkpoints.formats import Format, configured, fill, renamed
from ..checkpoints.reading import Contents
from .checkpoint import Checkpoint
from .network import SRResNet, SRResNetConfig

EPS = 1e-5
"""Of batch norms where nothing else is said."""
ERIKLINDERNOREN_EPS = 0.8
"""That project gives 0.8 as the second argument of BatchNorm2d, which is epsilon."""
BLOCK = ("conv1", "norm1", "act", "conv2", "norm2")
DOUBLING = {"conv": "conv", "prelu": "act"}


def _leftthomas(contents: Contents) -> Checkpoint:
    blocks = contents.count(r"block(\d+)\.conv1\.")
    fusion, up = f"block{blocks + 2}", f"block{blocks + 3}"
    doublings = contents.count(rf"{up}\.(\d+)\.conv\.")
    modules = {
        "block1.0": "first",
        "block1.1": "first_act",
        f"{fusion}.0": "fuse",
        f"{fusion}.1": "fuse_norm",  # PReLU in the weights that were published, batch norm in later code
        f"{up}.{doublings}": "last",
    }
    for index in range(blocks):
        parts = zip(("conv1", "bn1", "prelu", "conv2", "bn2"), BLOCK, strict=True)
        modules |= {f"block{index + 2}.{theirs}": f"trunk.{index}.{ours}" for theirs, ours in parts}
    for index in range(doublings):
        modules |= {f"{up}.{index}.{theirs}": f"upsampling.{index}.{ours}" for theirs, ours in DOUBLING.items()}
    tensors = renamed(contents, modules)
    return _checkpoint(contents, tensors, "leftthomas", final="tanh", output_range="signed")


def _lornatang(contents: Contents) -> Checkpoint:
    old = contents.has("conv_block1.0.weight")
    one, two, three = (f"conv_block{number}" if old else f"conv{number}" for number in (1, 2, 3))
    blocks = contents.count(r"trunk\.(\d+)\.")
    modules = {f"{one}.0": "first", f"{one}.1": "first_act", f"{two}.0": "fuse", f"{two}.1": "fuse_norm", three: "last"}
    for index in range(blocks):
        modules |= {f"trunk.{index}.rcb.{place}": f"trunk.{index}.{part}" for place, part in enumerate(BLOCK)}
    for index in range(contents.count(r"upsampling\.(\d+)\.")):
        modules |= {
            f"upsampling.{index}.upsample_block.0": f"upsampling.{index}.conv",
            f"upsampling.{index}.upsample_block.2": f"upsampling.{index}.act",
        }
    tensors = renamed(contents, modules)
    for convolution in ["fuse", *(f"trunk.{index}.{part}" for index in range(blocks) for part in ("conv1", "conv2"))]:
        if f"{convolution}.weight" in tensors:
            tensors.setdefault(f"{convolution}.bias", torch.zeros(len(tensors[f"{convolution}.weight"])))
    return _checkpoint(contents, tensors, "Lornatang")


def _sgrvinod(contents: Contents) -> Checkpoint:
    modules = {
        "conv_block1.conv_block.0": "first",
        "conv_block1.conv_block.1": "first_act",
        "conv_block2.conv_block.0": "fuse",
        "conv_block2.conv_block.1": "fuse_norm",
        "conv_block3.conv_block.0": "last",
    }
    places = [f"conv_block1.conv_block.{place}" for place in range(3)]
    places += [f"conv_block2.conv_block.{place}" for place in range(2)]
    for index in range(contents.count(r"residual_blocks\.(\d+)\.")):
        parts = zip(places, BLOCK, strict=True)
        modules |= {f"residual_blocks.{index}.{place}": f"trunk.{index}.{part}" for place, part in parts}
    group = "subpixel_convolutional_blocks"
    for index in range(contents.count(rf"{group}\.(\d+)\.")):
        modules |= {f"{group}.{index}.{theirs}": f"upsampling.{index}.{ours}" for theirs, ours in DOUBLING.items()}
    tensors = renamed(contents, modules)
    return _checkpoint(contents, tensors, "sgrvinod", final="tanh", input_range="imagenet", output_range="signed")


def _eriklindernoren(contents: Contents) -> Checkpoint:
    modules = {"conv1.0": "first", "conv1.1": "first_act", "conv2.0": "fuse", "conv2.1": "fuse_norm", "conv3.0": "last"}
    for index in range(contents.count(r"res_blocks\.(\d+)\.")):
        modules |= {
            f"res_blocks.{index}.conv_block.{place}": f"trunk.{index}.{part}" for place, part in enumerate(BLOCK)
        }
    doublings = contents.count(r"upsampling\.(\d+)\.running_mean")
    for index in range(doublings):  # four modules each, the third of which is the shuffle
        parts = {0: "conv", 1: "norm", 3: "act"}
        modules |= {f"upsampling.{4 * index + place}": f"upsampling.{index}.{part}" for place, part in parts.items()}
    tensors = renamed(contents, modules)
    for index in range(doublings):
        _fold(tensors, f"upsampling.{index}", contents)
    colours = "imagenet"
    if contents.has("conv1.1.weight"):
        for key in tensors:
            if key.endswith(".running_var"):
                tensors[key] = tensors[key] + (ERIKLINDERNOREN_EPS - EPS)
    else:  # older code, with ReLU, the usual epsilon, and colours in [-1, 1]
        colours = "signed"
        groups = {key.rpartition(".conv")[0] for key in tensors if key.startswith(("trunk.", "upsampling."))} - {""}
        tensors |= {f"{module}.weight": torch.zeros(1) for module in ["first_act", *(f"{g}.act" for g in groups)]}
    return _checkpoint(contents, tensors, "eriklindernoren", final="tanh", input_range=colours, output_range=colours)


def _fold(tensors: dict[str, Tensor], module: str, contents: Contents) -> None:
    """Make the norm of an upsampling step part of the convolution before it."""
    keys = [f"{module}.conv.weight", f"{module}.conv.bias"]
    statistics = [f"{module}.norm.{part}" for part in ("running_mean", "running_var", "weight", "bias")]
    if not all(key in tensors for key in keys + statistics):
        return  # `fill` says what is missing
    mean, variance, weight, bias = (tensors.pop(key) for key in statistics)
    folded = fuse_conv_bn_weights(tensors[keys[0]], tensors[keys[1]], mean, variance, EPS, weight, bias)
    tensors[keys[0]], tensors[keys[1]] = (tensor.detach() for tensor in folded)


def _checkpoint(
    contents: Contents,
    tensors: Mapping[str, Tensor],
    layout: str,
    final: str = "linear",
    input_range: str = "unit",
    output_range: str = "unit",
) -> Checkpoint:
    """Make the network of tensors by our own keys."""
    own = Contents(tensors, {}, contents.name)
    first, middle, last = (own.shape(f"{module}.weight") for module in ("first", "trunk.0.conv1", "last"))
    config = configured(
        contents,
        lambda: SRResNetConfig(
            blocks=own.count(r"trunk\.(\d+)\."),
            width=first[0],
            scale=2 ** own.count(r"upsampling\.(\d+)\."),
            kernels=(first[-1], middle[-1], last[-1]),
            channels=first[1],
            fusion="norm" if own.has("fuse_norm.running_mean") else "prelu",
            final=final,
        ),
    )
    network = fill(lambda: SRResNet(config), tensors, contents, layout)
    return Checkpoint(network, layout, input_range, output_range, contents.name)


SRRESNET_LAYOUTS = (
    Format("leftthomas", lambda contents: contents.has("block1.0.weight", "block2.conv1.weight"), _leftthomas),
    Format("Lornatang", lambda contents: contents.has("trunk.0.rcb.0.weight"), _lornatang),
    Format("sgrvinod", lambda contents: contents.has("conv_block1.conv_block.0.weight"), _sgrvinod),
    Format("eriklindernoren", lambda contents: contents.has("res_blocks.0.conv_block.0.weight"), _eriklindernoren),
)
