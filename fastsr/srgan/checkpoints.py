"""Generators in files: every layout that is known, and fastsr's own."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..checkpoints.layouts import (
    Layout,
    build_config,
    fingerprint,
    load_as,
    load_into,
    read_metadata,
    rename_keys,
    unknown_error,
    with_tuples,
    write_fastsr,
)
from ..checkpoints.reading import Contents, read
from ..checkpoints.sources import locate
from ..errors import InputError
from ..pretrained.published import NAMED
from .esrgan import MSRResNet, MSRResNetConfig, RRDBNet, RRDBNetConfig
from .networks import SRResNet, SRResNetConfig, Upscaler

RANGES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "unit": ((0.0,), (1.0,)),
    "signed": ((0.5,), (0.5,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""For each range of values, the mean and the deviation that colours in [0, 1] are brought to it by."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A generator with its weights.

    Attributes:
        network: in inference mode, on the CPU; it says its own architecture, scale, channels, blocks and width.
        layout: the project whose layout of keys the file has.
        input_range: of the values that the network takes: "unit" for [0, 1], "signed" for [-1, 1], or "imagenet" for
            colours of the mean and deviation of ImageNet's.
        output_range: of those that it gives.
        name: what errors call it.
    """

    network: Upscaler
    layout: str
    input_range: str
    output_range: str
    name: str

    def __str__(self) -> str:
        network = self.network
        return (
            f"{network.architecture} x{network.scale}, {network.blocks} blocks of {network.width} channels "
            f"({self.layout})"
        )

    def fingerprint(self) -> str:
        """Return digits that are others for other weights."""
        return fingerprint(self.network.state_dict())

    def to_input(self, pixels: Tensor) -> Tensor:
        """Bring colours in [0, 1], (N, C, H, W), to the range that the network takes."""
        mean, deviation = _range(self.input_range, pixels)
        return (pixels - mean) / deviation

    def to_colours(self, output: Tensor) -> Tensor:
        """Bring what the network gives, (N, C, H, W), to colours in [0, 1]."""
        mean, deviation = _range(self.output_range, output)
        return (output * deviation + mean).clamp(0, 1)


def _range(name: str, like: Tensor) -> tuple[Tensor, Tensor]:
    mean, deviation = (torch.tensor(values, dtype=like.dtype, device=like.device) for values in RANGES[name])
    return mean[:, None, None], deviation[:, None, None]


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
    tensors = rename_keys(contents, modules)
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
    tensors = rename_keys(contents, modules)
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
    tensors = rename_keys(contents, modules)
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
    tensors = rename_keys(contents, modules)
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
    config = build_config(
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
    network = load_into(lambda: SRResNet(config), tensors, contents, layout)
    return Checkpoint(network, layout, input_range, output_range, contents.name)


SRRESNET_LAYOUTS = (
    Layout("leftthomas", lambda contents: contents.has("block1.0.weight", "block2.conv1.weight"), _leftthomas),
    Layout("Lornatang", lambda contents: contents.has("trunk.0.rcb.0.weight"), _lornatang),
    Layout("sgrvinod", lambda contents: contents.has("conv_block1.conv_block.0.weight"), _sgrvinod),
    Layout("eriklindernoren", lambda contents: contents.has("res_blocks.0.conv_block.0.weight"), _eriklindernoren),
)


DENSE_BLOCKS = (1, 2, 3)
DENSE_CONVOLUTIONS = (1, 2, 3, 4, 5)


def _msrresnet(contents: Contents) -> Checkpoint:
    blocks = contents.count(r"body\.(\d+)\.")
    modules = {"conv_first": "first", "upconv1": "upsampling.0", "upconv2": "upsampling.1"}
    modules |= {"conv_hr": "large", "conv_last": "last"}
    for index in range(blocks):
        modules |= {f"body.{index}.{part}": f"trunk.{index}.{part}" for part in ("conv1", "conv2")}
    width, channels = contents.shape("conv_first.weight")[:2]
    step = math.isqrt(contents.shape("upconv1.weight")[0] // width)
    scale = step**2 if contents.has("upconv2.weight") else step
    config = build_config(contents, lambda: MSRResNetConfig(blocks, width, scale, channels))
    layout = "BasicSR MSRResNet"
    network = load_into(lambda: MSRResNet(config), rename_keys(contents, modules), contents, layout)
    return Checkpoint(network, layout, "unit", "unit", contents.name)


def _basicsr_rrdb(contents: Contents) -> Checkpoint:
    modules = {"conv_first": "first", "conv_body": "fuse", "conv_hr": "large", "conv_last": "last"}
    return _rrdb(contents, "BasicSR RRDBNet", modules, "conv_up", r"body\.(\d+)\.rdb", "body.{0}.rdb{1}.conv{2}")


def _new_rrdb(contents: Contents) -> Checkpoint:
    modules = {"conv_first": "first", "trunk_conv": "fuse", "HRconv": "large", "conv_last": "last"}
    block = "RRDB_trunk.{0}.RDB{1}.conv{2}"
    return _rrdb(contents, "ESRGAN", modules, "upconv", r"RRDB_trunk\.(\d+)\.RDB", block)


def _old_rrdb(contents: Contents) -> Checkpoint:
    """A sequence: first convolution, trunk, upsampling steps of three modules or fewer, and two convolutions."""
    pattern = r"model\.1\.sub\.(\d+)\.RDB"
    blocks = contents.count(pattern)
    places = sorted({int(match[1]) for key in contents.tensors if (match := re.match(r"model\.(\d+)\.weight", key))})
    modules = {"model.0": "first", f"model.1.sub.{blocks}": "fuse"}
    names = [*(f"upsampling.{index}" for index in range(len(places) - 3)), "large", "last"]
    modules |= {f"model.{place}": name for place, name in zip(places[1:], names, strict=False)}
    return _rrdb(contents, "ESRGAN (old)", modules, None, pattern, "model.1.sub.{0}.RDB{1}.conv{2}.0")


def _rrdb(
    contents: Contents, layout: str, modules: dict[str, str], upsampling: str | None, pattern: str, block: str
) -> Checkpoint:
    """Make an RRDBNet.

    Args:
        contents: of the file.
        layout: what it is called.
        modules: for a module of the file the name of ours, all but those of the blocks.
        upsampling: what the convolutions of the upsampling are called before their number, from 1; None where they are
            among `modules`.
        pattern: of the keys of the blocks, with their number as a group.
        block: the name of a convolution, by the numbers of block, dense block and convolution.
    """
    blocks = contents.count(pattern)
    if upsampling is not None:
        for index in range(contents.count(rf"{upsampling}(\d+)\.")):
            modules[f"{upsampling}{index + 1}"] = f"upsampling.{index}"
    for index in range(blocks):
        for dense in DENSE_BLOCKS:
            for convolution in DENSE_CONVOLUTIONS:
                theirs = block.format(index, dense, convolution)
                modules[theirs] = f"trunk.{index}.rdb{dense}.conv{convolution}"
    tensors = rename_keys(contents, modules)
    own = Contents(tensors, {}, contents.name)
    width, inputs = own.shape("first.weight")[:2]
    channels = own.shape("last.weight")[0]
    growth = own.shape("trunk.0.rdb1.conv1.weight")[0]
    doublings = own.count(r"upsampling\.(\d+)\.")
    unshuffle = math.isqrt(inputs // channels)
    config = build_config(contents, lambda: RRDBNetConfig(blocks, width, growth, doublings, channels, unshuffle))
    return Checkpoint(
        load_into(lambda: RRDBNet(config), tensors, contents, layout), layout, "unit", "unit", contents.name
    )


RELATIVES_LAYOUTS = (
    Layout("BasicSR MSRResNet", lambda contents: contents.has("conv_first.weight", "body.0.conv1.weight"), _msrresnet),
    Layout("BasicSR RRDBNet", lambda contents: contents.has("body.0.rdb1.conv1.weight"), _basicsr_rrdb),
    Layout("ESRGAN", lambda contents: contents.has("RRDB_trunk.0.RDB1.conv1.weight"), _new_rrdb),
    Layout("ESRGAN (old)", lambda contents: contents.has("model.1.sub.0.RDB1.conv1.0.weight"), _old_rrdb),
)


ARCHITECTURES: dict[str, tuple[type[Upscaler], type]] = {
    "SRResNet": (SRResNet, SRResNetConfig),
    "MSRResNet": (MSRResNet, MSRResNetConfig),
    "RRDBNet": (RRDBNet, RRDBNetConfig),
}


def load(weights: str | os.PathLike[str] | Checkpoint) -> Checkpoint:
    """Return the generator in a file.

    Args:
        weights: a path, a URL or a name of `fastsr.pretrained` or `NAMED`, see `fastsr.checkpoints.sources.locate`; or
            what this function returned before.

    Raises:
        InputTypeError, InputError, MissingFileError, OutputError: see `locate` and `fastsr.checkpoints.reading.read`;
            also where the network is unknown, or not one for grey or colour pictures.
    """
    if isinstance(weights, Checkpoint):
        return weights
    contents = read(locate(weights, "srgan", {name: entry.url for name, entry in NAMED.items()}))
    checkpoint = load_as(contents, FORMATS)
    channels = checkpoint.network.channels
    if channels not in (1, 3):
        raise InputError(f"{contents.name} is for images of {channels} channels; give one for 3, or for 1")
    return checkpoint


def save(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Write a generator in fastsr's own layout: a safetensors file that says which network it is and its ranges.

    Raises:
        InputError: the suffix is another one.
        OutputError: the file cannot be written.
    """
    network = checkpoint.network
    facts = {
        "architecture": network.architecture,
        "config": asdict(network.config),
        "input_range": checkpoint.input_range,
        "output_range": checkpoint.output_range,
    }
    write_fastsr(path, facts, network.state_dict())


def _own(contents: Contents) -> Checkpoint:
    facts = read_metadata(contents) or {}
    try:
        kind, config = ARCHITECTURES[facts["architecture"]]
        values = with_tuples(facts["config"])
        ranges = facts["input_range"], facts["output_range"]
        if not set(ranges) <= set(RANGES):
            raise KeyError(ranges)
        shape = build_config(contents, lambda: config(**values))
    except (KeyError, TypeError, AttributeError) as error:
        raise unknown_error(contents, error) from error
    return Checkpoint(
        load_into(lambda: kind(shape), contents.tensors, contents, "fastsr"), "fastsr", *ranges, contents.name
    )


FORMATS = (
    Layout("fastsr", lambda contents: read_metadata(contents) is not None, _own),
    *SRRESNET_LAYOUTS,
    *RELATIVES_LAYOUTS,
)
