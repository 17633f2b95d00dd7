"""Checkpoints of SR3: a U-Net with its noise schedule, from fastsr or from the best-known implementation of SR3.

`load` and `save` come first, then each layout of keys: how it is detected, and how its keys and
shapes become a network.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

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
from ..domain import Domain
from ..pretrained import pictures_of
from .network import PUBLISHED, UNet, UNetConfig
from .schedules import MAX_FINAL_GAMMA, PREDICTIONS, Schedule, alphas_cumprod_of, is_alphas_cumprod


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A U-Net with its weights and what they were trained for.

    Attributes:
        network: the U-Net in inference mode, on the CPU.
        alphas_cumprod: noise schedule of its training, float64 (T + 1,), see `fastsr.sr3.schedules`.
        prediction: what it predicts, one of `fastsr.sr3.schedules.PREDICTIONS`.
        factor: upscaling factor that it was trained for; None if the file has none.
        size: side in pixels of the high-resolution images that it was trained on; None if the file has none.
        layout: project whose layout of keys the file has.
        name: name of the checkpoint in error messages.
        domain: statistics of the images that it was trained on; None if the file has none.
        pictures: name of these images, such as "aligned faces"; None if unknown.
    """

    network: UNet
    alphas_cumprod: Tensor
    prediction: str
    factor: int | None
    size: int | None
    layout: str
    name: str
    domain: Domain | None = None
    pictures: str | None = None

    def __str__(self) -> str:
        config = self.network.config
        trained = "" if self.factor is None or self.size is None else f" for {self.size // self.factor} to {self.size}"
        channels, steps = ", ".join(map(str, config.channels)), len(self.alphas_cumprod) - 1
        return f"U-Net{trained}, {channels} channels, {steps} steps, {self.prediction} ({self.layout})"

    def fingerprint(self) -> str:
        """Return a hex digest of the weights and the noise schedule."""
        return fingerprint({**self.network.state_dict(), SCHEDULE_KEY: self.alphas_cumprod})


ARCHITECTURE = "SR3"
"""The name of the architecture in the metadata of fastsr's files."""
SCHEDULE_KEY = "curve"
"""The key of the noise schedule, beside those of the network."""


def load(weights: str | os.PathLike[str] | Checkpoint) -> Checkpoint:
    """Load a checkpoint.

    Args:
        weights: a path, a URL or a name of `fastsr.pretrained`, see `fastsr.checkpoints.sources.locate`, of a file
            written by `save` or of I*_E*_gen.pth; a `Checkpoint` is returned as it is.

    Raises:
        InputTypeError, InputError, MissingFileError, OutputError: see `locate` and `fastsr.checkpoints.reading.read`.
        InputError: the file holds another network.
    """
    if isinstance(weights, Checkpoint):
        return weights
    path = locate(weights, "sr3")
    contents = read(path)
    return replace(load_as(contents, LAYOUTS), pictures=pictures_of(path))


def save(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Write a checkpoint in fastsr's own layout.

    Raises:
        InputError: the suffix is not .safetensors.
        OutputError: the file cannot be written.
    """
    metadata = {
        "architecture": ARCHITECTURE,
        "config": asdict(checkpoint.network.config),
        "prediction": checkpoint.prediction,
        "factor": checkpoint.factor,
        "size": checkpoint.size,
    }
    # A view as bytes, for the reader of checkpoints converts all floats to float32.
    schedule = checkpoint.alphas_cumprod.contiguous().view(torch.uint8)
    domain = {} if checkpoint.domain is None else checkpoint.domain.tensors()
    write_fastsr(path, metadata, {**checkpoint.network.state_dict(), SCHEDULE_KEY: schedule, **domain})


def _load_fastsr(contents: Contents) -> Checkpoint:
    metadata, tensors = read_metadata(contents) or {}, dict(contents.tensors)
    try:
        if metadata["architecture"] != ARCHITECTURE:
            raise KeyError(metadata["architecture"])
        prediction, factor, size = metadata["prediction"], metadata["factor"], metadata["size"]
        values = with_tuples(metadata["config"])
        config = build_config(contents, lambda: UNetConfig(**values))
        domain = Domain.taken(tensors)
        alphas_cumprod = tensors.pop(SCHEDULE_KEY).clone().view(torch.float64)
        for value, valid in (
            (prediction, prediction in PREDICTIONS),
            (factor, factor is None or (type(factor) is int and factor > 1)),
            (size, size is None or (type(size) is int and size > 0 and size % config.multiple == 0)),
            (SCHEDULE_KEY, is_alphas_cumprod(alphas_cumprod)),
        ):
            if not valid:
                raise KeyError(value)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise unknown_error(contents, error) from error
    network = load_into(lambda: UNet(config), tensors, contents, "fastsr")
    return Checkpoint(network, alphas_cumprod, prediction, factor, size, "fastsr", contents.name, domain)


ITERATIVE_REFINEMENT = "Image-Super-Resolution-via-Iterative-Refinement"
"""The name of the best-known implementation of SR3, which is also the name of its layout."""
BUFFERS = (
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
)
"""The keys of the noise schedule in its files; all of them follow from the first one."""
PREFIX = "denoise_fn."
"""The prefix of the keys of the network."""
MODULES = {
    "noise_level_mlp.1": "level.first",
    "noise_level_mlp.3": "level.second",
    "downs.0": "first",
    "final_conv.block.0": "norm",
    "final_conv.block.3": "last",
}
"""The name of each module outside the blocks in its files, with its name in `UNet`."""
PARTS = {
    "res_block.block1.block.0": "residual.norm1",
    "res_block.block1.block.3": "residual.conv1",
    "res_block.noise_func.noise_func.0": "residual.level",
    "res_block.block2.block.0": "residual.norm2",
    "res_block.block2.block.3": "residual.conv2",
    "res_block.res_conv": "residual.skip",
    "attn.norm": "attention.norm",
    "attn.qkv": "attention.qkv",
    "attn.out": "attention.out",
    "conv": "conv",
}
"""The name of each module of a block in its files, with its name in `fastsr.sr3.network.Block`."""


def _is_iterative_refinement(contents: Contents) -> bool:
    return contents.has(f"{PREFIX}downs.0.weight", f"{PREFIX}noise_level_mlp.1.weight")


def _load_iterative_refinement(contents: Contents) -> Checkpoint:
    """Load a network for colour images. Its shape, but for groups and dropout, follows from the shapes of its weights.

    The published networks are recognised by their shapes. Others are taken to have 32 groups, the project's default.
    """
    config = _infer_config(contents)
    size = next((side for side, published in PUBLISHED.items() if _shape(published) == _shape(config)), None)
    if size is not None:
        config = PUBLISHED[size]
    tensors = {
        key.removeprefix(PREFIX): tensor
        for key, tensor in rename_keys(contents, _module_names(contents)).items()
        if key not in BUFFERS
    }
    network = load_into(lambda: UNet(config), tensors, contents, ITERATIVE_REFINEMENT)
    factor = None if size is None else 8
    schedule = _alphas_cumprod(contents)
    return Checkpoint(network, schedule, "epsilon", factor, size, ITERATIVE_REFINEMENT, contents.name)


def _infer_config(contents: Contents) -> UNetConfig:
    """Infer the shape from the encoder, which has some blocks at each level, followed by a convolution of stride 2."""
    width = contents.shape(f"{PREFIX}downs.0.weight")[0]
    multipliers: list[int] = []
    attention: list[int] = []
    blocks = 0
    for index in range(1, _count_layers(contents, "downs")):
        name = f"{PREFIX}downs.{index}"
        if contents.has(f"{name}.conv.weight"):
            blocks = 0
            continue
        if blocks == 0:
            multipliers.append(contents.shape(f"{name}.res_block.block1.block.3.weight")[0] // width)
            if contents.has(f"{name}.attn.qkv.weight"):
                attention.append(len(multipliers) - 1)
        blocks += 1
    return build_config(contents, lambda: UNetConfig(width, tuple(multipliers), blocks, tuple(attention), dropout=0.0))


def _shape(config: UNetConfig) -> tuple[Any, ...]:
    """Return the parts of a shape that follow from the shapes of the weights."""
    return config.width, config.multipliers, config.blocks, config.attention


def _count_layers(contents: Contents, stage: str) -> int:
    return contents.count(rf"{re.escape(PREFIX)}{stage}\.(\d+)\.")


def _module_names(contents: Contents) -> dict[str, str]:
    """Return the name in `UNet` of each module of the file, both with the prefix of the file."""
    names = dict(MODULES)
    for stage in ("downs", "mid", "ups"):
        shift = 1 if stage == "downs" else 0  # their encoder counts the first convolution
        for index in range(shift, _count_layers(contents, stage)):
            names |= {f"{stage}.{index}.{theirs}": f"{stage}.{index - shift}.{ours}" for theirs, ours in PARTS.items()}
    return {f"{PREFIX}{theirs}": f"{PREFIX}{ours}" for theirs, ours in names.items()}


def _alphas_cumprod(contents: Contents) -> Tensor:
    """Return the noise schedule of the file, or the published one if the file has that of a sampler with few steps."""
    betas = contents.tensors.get("betas")
    if betas is not None and betas.ndim == 1:
        gammas = alphas_cumprod_of(betas)
        if is_alphas_cumprod(gammas) and gammas[-1] <= MAX_FINAL_GAMMA:
            return gammas
    return Schedule().alphas_cumprod()


LAYOUTS = (
    Layout("fastsr", lambda contents: read_metadata(contents) is not None, _load_fastsr),
    Layout(ITERATIVE_REFINEMENT, _is_iterative_refinement, _load_iterative_refinement),
)
"""The layouts that `load` knows, in the order in which it tries them."""
