"""The layouts in which MSRResNet and RRDBNet are kept: BasicSR's, and the two older ones of ESRGAN."""

from __future__ import annotations

import math
import re

from ..checkpoints.formats import Format, configured, fill, renamed
from ..checkpoints.reading import Contents
from .checkpoint import Checkpoint
from .relatives import MSRResNet, MSRResNetConfig, RRDBNet, RRDBNetConfig

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
    config = configured(contents, lambda: MSRResNetConfig(blocks, width, scale, channels))
    layout = "BasicSR MSRResNet"
    network = fill(lambda: MSRResNet(config), renamed(contents, modules), contents, layout)
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
    tensors = renamed(contents, modules)
    own = Contents(tensors, {}, contents.name)
    width, inputs = own.shape("first.weight")[:2]
    channels = own.shape("last.weight")[0]
    growth = own.shape("trunk.0.rdb1.conv1.weight")[0]
    doublings = own.count(r"upsampling\.(\d+)\.")
    unshuffle = math.isqrt(inputs // channels)
    config = configured(contents, lambda: RRDBNetConfig(blocks, width, growth, doublings, channels, unshuffle))
    return Checkpoint(fill(lambda: RRDBNet(config), tensors, contents, layout), layout, "unit", "unit", contents.name)


RELATIVES_LAYOUTS = (
    Format("BasicSR MSRResNet", lambda contents: contents.has("conv_first.weight", "body.0.conv1.weight"), _msrresnet),
    Format("BasicSR RRDBNet", lambda contents: contents.has("body.0.rdb1.conv1.weight"), _basicsr_rrdb),
    Format("ESRGAN", lambda contents: contents.has("RRDB_trunk.0.RDB1.conv1.weight"), _new_rrdb),
    Format("ESRGAN (old)", lambda contents: contents.has("model.1.sub.0.RDB1.conv1.0.weight"), _old_rrdb),
)
