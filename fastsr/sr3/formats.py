"""Denoising networks in files: fastsr's own layout, and that of the best-known implementation of SR3."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from ..checkpoints.formats import Format, configured, fill, load_as, renamed
from ..checkpoints.own import own_facts, tuples, unknown, write_own
from ..checkpoints.reading import Contents, read
from ..checkpoints.sources import locate
from ..domain import Domain
from ..pretrained import pictures_of
from .checkpoint import Checkpoint
from .network import PUBLISHED, UNet, UNetConfig
from .predictions import PREDICTIONS
from .schedules import PURE, Schedule, curve_of, is_curve

ARCHITECTURE = "SR3"
CURVE = "curve"
"""The key of the noise curve, beside those of the network."""
ITERATIVE_REFINEMENT = "Image-Super-Resolution-via-Iterative-Refinement"
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
"""What the file has of the schedule beside the network; all follows from the first one."""
PREFIX = "denoise_fn."
MODULES = {
    "noise_level_mlp.1": "level.first",
    "noise_level_mlp.3": "level.second",
    "downs.0": "first",
    "final_conv.block.0": "norm",
    "final_conv.block.3": "last",
}
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
"""The names of a block's modules, there and here."""


def load(weights: str | os.PathLike[str] | Checkpoint) -> Checkpoint:
    """Return the network in a file.

    Args:
        weights: a path, a URL or a name of `fastsr.pretrained`, see `fastsr.checkpoints.sources.locate`, of a file by
            `save` or of I*_E*_gen.pth; or what this function returned before.

    Raises:
        InputTypeError, InputError, MissingFileError, OutputError: see `locate` and `fastsr.checkpoints.reading.read`;
            also where the network is unknown.
    """
    if isinstance(weights, Checkpoint):
        return weights
    path = locate(weights, "sr3")
    contents = read(path)
    return replace(load_as(contents, FORMATS), pictures=pictures_of(path))


def save(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Write a network in fastsr's own layout.

    Raises:
        InputError: the suffix is not .safetensors.
        OutputError: the file cannot be written.
    """
    facts = {
        "architecture": ARCHITECTURE,
        "config": asdict(checkpoint.network.config),
        "prediction": checkpoint.prediction,
        "factor": checkpoint.factor,
        "size": checkpoint.size,
    }
    # A view as bytes: what reads checkpoints makes all floats float32.
    curve = checkpoint.curve.contiguous().view(torch.uint8)
    domain = {} if checkpoint.domain is None else checkpoint.domain.tensors()
    write_own(path, facts, {**checkpoint.network.state_dict(), CURVE: curve, **domain})


def _own(contents: Contents) -> Checkpoint:
    facts, tensors = own_facts(contents) or {}, dict(contents.tensors)
    try:
        if facts["architecture"] != ARCHITECTURE:
            raise KeyError(facts["architecture"])
        prediction, factor, size = facts["prediction"], facts["factor"], facts["size"]
        values = tuples(facts["config"])
        config = configured(contents, lambda: UNetConfig(**values))
        domain = Domain.taken(tensors)
        curve = tensors.pop(CURVE).clone().view(torch.float64)
        for fact, understood in (
            (prediction, prediction in PREDICTIONS),
            (factor, factor is None or (type(factor) is int and factor > 1)),
            (size, size is None or (type(size) is int and size > 0 and size % config.multiple == 0)),
            (CURVE, is_curve(curve)),
        ):
            if not understood:
                raise KeyError(fact)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise unknown(contents, error) from error
    network = _network(config, tensors, contents, "fastsr")
    return Checkpoint(network, curve, prediction, factor, size, "fastsr", contents.name, domain)


def _is_iterative_refinement(contents: Contents) -> bool:
    return contents.has(f"{PREFIX}downs.0.weight", f"{PREFIX}noise_level_mlp.1.weight")


def _iterative_refinement(contents: Contents) -> Checkpoint:
    """A network for colour pictures, whose shape follows from the shapes of its weights, but for groups and dropout.

    The published networks are known by their shapes. Others have groups of 32, as that project has unless it is told
    otherwise.
    """
    config = _config(contents)
    size = next((side for side, one in PUBLISHED.items() if _shape(one) == _shape(config)), None)
    if size is not None:
        config = PUBLISHED[size]
    tensors = {
        key.removeprefix(PREFIX): tensor
        for key, tensor in renamed(contents, _names(contents)).items()
        if key not in BUFFERS
    }
    network = _network(config, tensors, contents, ITERATIVE_REFINEMENT)
    return Checkpoint(
        network, _curve(contents), "epsilon", None if size is None else 8, size, ITERATIVE_REFINEMENT, contents.name
    )


def _config(contents: Contents) -> UNetConfig:
    """Read the shape off the way down: at each size some blocks, and then a convolution that halves."""
    width = contents.shape(f"{PREFIX}downs.0.weight")[0]
    multipliers: list[int] = []
    attention: list[int] = []
    blocks = 0
    for index in range(1, _layers(contents, "downs")):
        name = f"{PREFIX}downs.{index}"
        if contents.has(f"{name}.conv.weight"):
            blocks = 0
            continue
        if blocks == 0:
            multipliers.append(contents.shape(f"{name}.res_block.block1.block.3.weight")[0] // width)
            if contents.has(f"{name}.attn.qkv.weight"):
                attention.append(len(multipliers) - 1)
        blocks += 1
    return configured(contents, lambda: UNetConfig(width, tuple(multipliers), blocks, tuple(attention), dropout=0.0))


def _shape(config: UNetConfig) -> tuple[Any, ...]:
    return config.width, config.multipliers, config.blocks, config.attention


def _layers(contents: Contents, way: str) -> int:
    return contents.count(rf"{re.escape(PREFIX)}{way}\.(\d+)\.")


def _names(contents: Contents) -> dict[str, str]:
    """Return for each module of the file the name of ours, with the file's prefix before both."""
    names = dict(MODULES)
    for way in ("downs", "mid", "ups"):
        shift = 1 if way == "downs" else 0  # the first convolution is counted there
        for index in range(shift, _layers(contents, way)):
            names |= {f"{way}.{index}.{theirs}": f"{way}.{index - shift}.{ours}" for theirs, ours in PARTS.items()}
    return {f"{PREFIX}{theirs}": f"{PREFIX}{ours}" for theirs, ours in names.items()}


def _curve(contents: Contents) -> Tensor:
    """Return the noise curve of the file, or the published one where the file has that of a sampler with few steps."""
    betas = contents.tensors.get("betas")
    curve = None if betas is None or betas.ndim != 1 else curve_of(betas)
    return curve if curve is not None and is_curve(curve) and curve[-1] <= PURE else Schedule().curve()


def _network(config: UNetConfig, tensors: Mapping[str, Tensor], contents: Contents, layout: str) -> UNet:
    return fill(lambda: UNet(config), tensors, contents, layout)


FORMATS = (
    Format("fastsr", lambda contents: own_facts(contents) is not None, _own),
    Format(ITERATIVE_REFINEMENT, _is_iterative_refinement, _iterative_refinement),
)
