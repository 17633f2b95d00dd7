"""Load and save generators: fastsr's own files, and the checkpoints of other projects.

To support the checkpoints of another project, write one function that maps its keys to those of a network of fastsr,
like `_load_leftthomas`, and add one row to the table `FORMATS` at the end of this file.
"""

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

ARCHITECTURES: dict[str, tuple[type[Upscaler], type]] = {
    "SRResNet": (SRResNet, SRResNetConfig),
    "MSRResNet": (MSRResNet, MSRResNetConfig),
    "RRDBNet": (RRDBNet, RRDBNetConfig),
}
"""The class and the configuration of each network, by the name that fastsr's files give it."""
RANGES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "unit": ((0.0,), (1.0,)),
    "signed": ((0.5,), (0.5,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""The mean and the standard deviation that normalize colours in [0, 1] to each range of values."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A generator with its weights.

    Attributes:
        network: the network in inference mode, on the CPU.
        layout: name of the layout of keys that the file has.
        input_range: range of the values that the network takes: "unit" for [0, 1], "signed" for [-1, 1], or "imagenet"
            for colours normalized by the mean and the standard deviation of ImageNet.
        output_range: range of the values that it returns, likewise.
        name: the argument and its value that gave the weights, for errors.
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
        """Return a hex digest of the weights."""
        return fingerprint(self.network.state_dict())

    def to_input(self, pixels: Tensor) -> Tensor:
        """Map colours (N, C, H, W) in [0, 1] to the input range of the network."""
        mean, deviation = _range(self.input_range, pixels)
        return (pixels - mean) / deviation

    def to_colours(self, output: Tensor) -> Tensor:
        """Map the output of the network, (N, C, H, W), to colours clipped to [0, 1]."""
        mean, deviation = _range(self.output_range, output)
        return (output * deviation + mean).clamp(0, 1)


def _range(name: str, like: Tensor) -> tuple[Tensor, Tensor]:
    mean, deviation = (torch.tensor(values, dtype=like.dtype, device=like.device) for values in RANGES[name])
    return mean[:, None, None], deviation[:, None, None]


def load(weights: str | os.PathLike[str] | Checkpoint, *, argument: str = "weights") -> Checkpoint:
    """Load a generator.

    Args:
        weights: a path, a URL, a name of `fastsr.pretrained` or `NAMED`, see `fastsr.checkpoints.sources.locate`; or a
            `Checkpoint`, which is returned as it is.
        argument: name of the argument that gave the weights, for errors.

    Raises:
        InputTypeError, InputError, MissingFileError, OutputError: see `locate` and `fastsr.checkpoints.reading.read`;
            also if the network is unknown, or not one for grey or RGB images.
    """
    if isinstance(weights, Checkpoint):
        return weights
    published = {name: entry.url for name, entry in NAMED.items()}
    contents = read(locate(weights, "srgan", published, argument=argument), argument=argument)
    checkpoint = load_as(contents, FORMATS)
    channels = checkpoint.network.channels
    if channels not in (1, 3):
        raise InputError(f"{contents.name} is for images of {channels} channels; give weights for 3, or for 1")
    return checkpoint


def save(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Write a generator in fastsr's own layout: a .safetensors file that names the network and its ranges of values.

    Raises:
        InputError: the path has another suffix.
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


def _load_fastsr(contents: Contents) -> Checkpoint:
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
    network = load_into(lambda: kind(shape), contents.tensors, contents, "fastsr")
    return Checkpoint(network, "fastsr", *ranges, contents.name)


# SRResNet and SRGAN of other projects. `theirs` are names of modules in the file, `ours` those in `SRResNet`.

EPS = 1e-5
"""The epsilon of batch norms, PyTorch's default."""
ERIKLINDERNOREN_EPS = 0.8
"""The epsilon of eriklindernoren's batch norms: the code passes 0.8 as the second argument of BatchNorm2d."""
BLOCK = ("conv1", "norm1", "act", "conv2", "norm2")
"""The modules of `ResidualBlock`, in their order."""
DOUBLING = {"conv": "conv", "prelu": "act"}
"""The modules of `Upsample`, by the names that leftthomas and sgrvinod give them."""


def _load_leftthomas(contents: Contents) -> Checkpoint:
    blocks = contents.count(r"block(\d+)\.conv1\.")
    fusion, up = f"block{blocks + 2}", f"block{blocks + 3}"
    doublings = contents.count(rf"{up}\.(\d+)\.conv\.")
    modules = {
        "block1.0": "first",
        "block1.1": "first_act",
        f"{fusion}.0": "fuse",
        f"{fusion}.1": "fuse_norm",  # PReLU in the published weights, batch norm in later code
        f"{up}.{doublings}": "last",
    }
    for index in range(blocks):
        parts = zip(("conv1", "bn1", "prelu", "conv2", "bn2"), BLOCK, strict=True)
        modules |= {f"block{index + 2}.{theirs}": f"trunk.{index}.{ours}" for theirs, ours in parts}
    for index in range(doublings):
        modules |= {f"{up}.{index}.{theirs}": f"upsampling.{index}.{ours}" for theirs, ours in DOUBLING.items()}
    tensors = rename_keys(contents, modules)
    return _build_srresnet(contents, tensors, "leftthomas", final="tanh", output_range="signed")


def _load_lornatang(contents: Contents) -> Checkpoint:
    old = contents.has("conv_block1.0.weight")
    one, two, three = (f"conv_block{number}" if old else f"conv{number}" for number in (1, 2, 3))
    blocks = contents.count(r"trunk\.(\d+)\.")
    modules = {f"{one}.0": "first", f"{one}.1": "first_act", f"{two}.0": "fuse", f"{two}.1": "fuse_norm", three: "last"}
    for index in range(blocks):
        modules |= {f"trunk.{index}.rcb.{number}": f"trunk.{index}.{ours}" for number, ours in enumerate(BLOCK)}
    for index in range(contents.count(r"upsampling\.(\d+)\.")):
        modules |= {
            f"upsampling.{index}.upsample_block.0": f"upsampling.{index}.conv",
            f"upsampling.{index}.upsample_block.2": f"upsampling.{index}.act",
        }
    tensors = rename_keys(contents, modules)
    for convolution in ["fuse", *(f"trunk.{index}.{part}" for index in range(blocks) for part in ("conv1", "conv2"))]:
        if f"{convolution}.weight" in tensors:
            tensors.setdefault(f"{convolution}.bias", torch.zeros(len(tensors[f"{convolution}.weight"])))
    return _build_srresnet(contents, tensors, "Lornatang")


def _load_sgrvinod(contents: Contents) -> Checkpoint:
    modules = {
        "conv_block1.conv_block.0": "first",
        "conv_block1.conv_block.1": "first_act",
        "conv_block2.conv_block.0": "fuse",
        "conv_block2.conv_block.1": "fuse_norm",
        "conv_block3.conv_block.0": "last",
    }
    block = [f"conv_block1.conv_block.{number}" for number in range(3)]
    block += [f"conv_block2.conv_block.{number}" for number in range(2)]
    for index in range(contents.count(r"residual_blocks\.(\d+)\.")):
        parts = zip(block, BLOCK, strict=True)
        modules |= {f"residual_blocks.{index}.{theirs}": f"trunk.{index}.{ours}" for theirs, ours in parts}
    group = "subpixel_convolutional_blocks"
    for index in range(contents.count(rf"{group}\.(\d+)\.")):
        modules |= {f"{group}.{index}.{theirs}": f"upsampling.{index}.{ours}" for theirs, ours in DOUBLING.items()}
    tensors = rename_keys(contents, modules)
    return _build_srresnet(contents, tensors, "sgrvinod", final="tanh", input_range="imagenet", output_range="signed")


def _load_eriklindernoren(contents: Contents) -> Checkpoint:
    modules = {"conv1.0": "first", "conv1.1": "first_act", "conv2.0": "fuse", "conv2.1": "fuse_norm", "conv3.0": "last"}
    for index in range(contents.count(r"res_blocks\.(\d+)\.")):
        modules |= {
            f"res_blocks.{index}.conv_block.{number}": f"trunk.{index}.{ours}" for number, ours in enumerate(BLOCK)
        }
    doublings = contents.count(r"upsampling\.(\d+)\.running_mean")
    for index in range(doublings):  # four modules each, the third of which is the pixel shuffle
        parts = {0: "conv", 1: "norm", 3: "act"}
        modules |= {f"upsampling.{4 * index + number}": f"upsampling.{index}.{ours}" for number, ours in parts.items()}
    tensors = rename_keys(contents, modules)
    for index in range(doublings):
        _fold_norm(tensors, f"upsampling.{index}")
    colours = "imagenet"
    if contents.has("conv1.1.weight"):
        for key in tensors:
            if key.endswith(".running_var"):
                tensors[key] = tensors[key] + (ERIKLINDERNOREN_EPS - EPS)
    else:  # older code, with ReLU, the usual epsilon, and colours in [-1, 1]
        colours = "signed"
        groups = {key.rpartition(".conv")[0] for key in tensors if key.startswith(("trunk.", "upsampling."))} - {""}
        tensors |= {f"{module}.weight": torch.zeros(1) for module in ["first_act", *(f"{g}.act" for g in groups)]}
    return _build_srresnet(
        contents, tensors, "eriklindernoren", final="tanh", input_range=colours, output_range=colours
    )


def _fold_norm(tensors: dict[str, Tensor], module: str) -> None:
    """Fold the batch norm of an upsampling step into the convolution before it; `SRResNet` has no norm there."""
    keys = [f"{module}.conv.weight", f"{module}.conv.bias"]
    statistics = [f"{module}.norm.{part}" for part in ("running_mean", "running_var", "weight", "bias")]
    if not all(key in tensors for key in keys + statistics):
        return  # `load_into` reports the missing keys
    mean, variance, weight, bias = (tensors.pop(key) for key in statistics)
    folded = fuse_conv_bn_weights(tensors[keys[0]], tensors[keys[1]], mean, variance, EPS, weight, bias)
    tensors[keys[0]], tensors[keys[1]] = (tensor.detach() for tensor in folded)


def _build_srresnet(
    contents: Contents,
    tensors: Mapping[str, Tensor],
    layout: str,
    final: str = "linear",
    input_range: str = "unit",
    output_range: str = "unit",
) -> Checkpoint:
    """Build an `SRResNet` from tensors under its own keys; the shapes determine the configuration."""
    ours = Contents(tensors, {}, contents.name)
    first, middle, last = (ours.shape(f"{module}.weight") for module in ("first", "trunk.0.conv1", "last"))
    config = build_config(
        contents,
        lambda: SRResNetConfig(
            blocks=ours.count(r"trunk\.(\d+)\."),
            width=first[0],
            scale=2 ** ours.count(r"upsampling\.(\d+)\."),
            kernels=(first[-1], middle[-1], last[-1]),
            channels=first[1],
            fusion="norm" if ours.has("fuse_norm.running_mean") else "prelu",
            final=final,
        ),
    )
    network = load_into(lambda: SRResNet(config), tensors, contents, layout)
    return Checkpoint(network, layout, input_range, output_range, contents.name)


# The networks of BasicSR and ESRGAN.

DENSE_BLOCKS = (1, 2, 3)
"""The numbers of the dense blocks in an RRDB."""
DENSE_CONVOLUTIONS = (1, 2, 3, 4, 5)
"""The numbers of the convolutions in a dense block."""


def _load_msrresnet(contents: Contents) -> Checkpoint:
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


def _load_basicsr_rrdbnet(contents: Contents) -> Checkpoint:
    modules = {"conv_first": "first", "conv_body": "fuse", "conv_hr": "large", "conv_last": "last"}
    pattern, block = r"body\.(\d+)\.rdb", "body.{0}.rdb{1}.conv{2}"
    return _build_rrdbnet(contents, "BasicSR RRDBNet", modules, "conv_up", pattern, block)


def _load_esrgan(contents: Contents) -> Checkpoint:
    modules = {"conv_first": "first", "trunk_conv": "fuse", "HRconv": "large", "conv_last": "last"}
    pattern, block = r"RRDB_trunk\.(\d+)\.RDB", "RRDB_trunk.{0}.RDB{1}.conv{2}"
    return _build_rrdbnet(contents, "ESRGAN", modules, "upconv", pattern, block)


def _load_old_esrgan(contents: Contents) -> Checkpoint:
    """Load an nn.Sequential: first convolution, trunk, upsampling steps of up to three modules, two convolutions."""
    pattern, block = r"model\.1\.sub\.(\d+)\.RDB", "model.1.sub.{0}.RDB{1}.conv{2}.0"
    blocks = contents.count(pattern)
    numbers = sorted({int(match[1]) for key in contents.tensors if (match := re.match(r"model\.(\d+)\.weight", key))})
    modules = {"model.0": "first", f"model.1.sub.{blocks}": "fuse"}
    names = [*(f"upsampling.{index}" for index in range(len(numbers) - 3)), "large", "last"]
    modules |= {f"model.{number}": name for number, name in zip(numbers[1:], names, strict=False)}
    return _build_rrdbnet(contents, "ESRGAN (old)", modules, None, pattern, block)


def _build_rrdbnet(
    contents: Contents, layout: str, modules: dict[str, str], upsampling: str | None, pattern: str, block: str
) -> Checkpoint:
    """Build an `RRDBNet`; the shapes determine the configuration.

    Args:
        contents: the file.
        layout: name of its layout.
        modules: fastsr's name for each module of the file outside the trunk.
        upsampling: name of the upsampling convolutions in the file before their number, which counts from 1; None if
            `modules` includes them.
        pattern: regular expression for the start of the trunk's keys, with the number of the RRDB as its group.
        block: format of the name of a convolution in the trunk, from the numbers of RRDB, dense block and convolution.
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
    ours = Contents(tensors, {}, contents.name)
    width, inputs = ours.shape("first.weight")[:2]
    channels = ours.shape("last.weight")[0]
    growth = ours.shape("trunk.0.rdb1.conv1.weight")[0]
    doublings = ours.count(r"upsampling\.(\d+)\.")
    unshuffle = math.isqrt(inputs // channels)
    config = build_config(contents, lambda: RRDBNetConfig(blocks, width, growth, doublings, channels, unshuffle))
    network = load_into(lambda: RRDBNet(config), tensors, contents, layout)
    return Checkpoint(network, layout, "unit", "unit", contents.name)


FORMATS = (
    Layout("fastsr", lambda file: read_metadata(file) is not None, _load_fastsr),
    Layout("leftthomas", lambda file: file.has("block1.0.weight", "block2.conv1.weight"), _load_leftthomas),
    Layout("Lornatang", lambda file: file.has("trunk.0.rcb.0.weight"), _load_lornatang),
    Layout("sgrvinod", lambda file: file.has("conv_block1.conv_block.0.weight"), _load_sgrvinod),
    Layout("eriklindernoren", lambda file: file.has("res_blocks.0.conv_block.0.weight"), _load_eriklindernoren),
    Layout("BasicSR MSRResNet", lambda file: file.has("conv_first.weight", "body.0.conv1.weight"), _load_msrresnet),
    Layout("BasicSR RRDBNet", lambda file: file.has("body.0.rdb1.conv1.weight"), _load_basicsr_rrdbnet),
    Layout("ESRGAN", lambda file: file.has("RRDB_trunk.0.RDB1.conv1.weight"), _load_esrgan),
    Layout("ESRGAN (old)", lambda file: file.has("model.1.sub.0.RDB1.conv1.0.weight"), _load_old_esrgan),
)
"""The supported layouts: name, test of the keys, loader. The first layout that detects a file loads it."""
