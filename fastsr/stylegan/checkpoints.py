"""Generators in files: fastsr's own layout, those of other projects, and generators that are no files."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from ..checkpoints.layouts import (
    Layout,
    build_config,
    fingerprint,
    load_as,
    load_into,
    read_metadata,
    unknown_error,
    with_tuples,
    write_fastsr,
)
from ..checkpoints.reading import Contents, read
from ..checkpoints.sources import locate
from ..checks import spell
from ..domain import Domain
from ..errors import InputError
from ..pretrained import pictures_of
from .generator import Generator, check_generator, draw_noises
from .latents import GaussianFit
from .network import START, StyleGAN, StyleGANConfig


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A generator with its weights.

    Attributes:
        network: in inference mode, on the CPU where it comes from a file.
        fit: what latents its mapping network gives; None where the file does not say.
        layout: the project whose layout of keys the file has; "custom" for a generator that came as an object.
        name: what errors call it.
        domain: what the images look like that it was trained on; None where the file does not say.
        images: what they are called, such as "aligned faces"; None where nobody says so.

    Raises:
        InputError: the fit is not of as many numbers as a latent row has.
    """

    network: Generator
    fit: GaussianFit | None
    layout: str
    name: str
    domain: Domain | None = None
    pictures: str | None = None

    def __post_init__(self) -> None:
        if self.fit is None:
            return
        for name, numbers in (("mean", self.fit.mean), ("std", self.fit.std)):
            if numbers.shape != (self.network.latent,):
                raise InputError(
                    f"the {name} of the Gaussian fit of {self.name} is of shape {tuple(numbers.shape)}, but a latent "
                    f"row has {self.network.latent} numbers; the fit is that of another mapping network"
                )

    def __str__(self) -> str:
        network = self.network
        kind = type(network).__name__
        side = network.resolution
        return f"{kind} {side}x{side}, {network.layers} layers, latent {network.latent} ({self.layout})"

    def fingerprint(self) -> str:
        """Return digits that are others for other weights, or another Gaussian fit."""
        tensors = dict(self.network.state_dict()) if isinstance(self.network, nn.Module) else {}
        if self.fit is not None:
            tensors |= {"fit.mean": self.fit.mean, "fit.std": self.fit.std}
        return fingerprint(tensors)


LERNAPPARAT, PULSE = "lernapparat", "PULSE"
SYNTHESIS, MAPPING, FIT = "synthesis.pt", "mapping.pt", "gaussian_fit.pt"
"""The files of PULSE."""
CONST, DENSE = "blocks.4x4.const", "dense0.weight"
"""A key of each of the first two."""
PREFIXES = ("g_synthesis.", "g_mapping.")
MIRRORED = 128
"""The least side whose upscaling layer has its kernels mirrored."""
BLUR = torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0]))[None, None] / 16
"""What is convolved with what an upscaling layer gives; the files have it for each of them."""


def read_pulse(folder: Path) -> Contents:
    """Return what the files of PULSE in a folder hold, with the Gaussian fit as fit.mean and fit.std where it is.

    Raises:
        InputError: a file of a network is missing, or cannot be read.
    """
    name = f"{spell('weights', str(folder))}"
    missing = [file for file in (SYNTHESIS, MAPPING) if not (folder / file).is_file()]
    if missing:
        raise InputError(
            f"{name} has no {' and no '.join(missing)}; give a folder with PULSE's {SYNTHESIS} and {MAPPING}, or the "
            "file of another network"
        )
    tensors = {**read(folder / SYNTHESIS).tensors, **read(folder / MAPPING).tensors}
    if (folder / FIT).is_file():
        fit = read(folder / FIT)
        for part in ("mean", "std"):
            fit.shape(part)
            tensors[f"fit.{part}"] = fit.tensors[part]
    return Contents(tensors, {}, name)


def is_part(contents: Contents) -> bool:
    """Whether a file has one of the two networks of PULSE."""
    return contents.has(CONST) != contents.has(DENSE)


def _is_lernapparat(contents: Contents) -> bool:
    return contents.has(f"g_synthesis.{CONST}", f"g_mapping.{DENSE}")


def _lernapparat(contents: Contents) -> Checkpoint:
    tensors = {_without_prefix(key).replace(".top_epi.", "."): tensor for key, tensor in contents.tensors.items()}
    return _checkpoint(Contents(tensors, {}, contents.name), LERNAPPARAT)


def _without_prefix(key: str) -> str:
    for prefix in PREFIXES:
        key = key.removeprefix(prefix)
    return key


def _checkpoint(contents: Contents, layout: str) -> Checkpoint:
    """Make the network of tensors with the keys of PULSE."""
    architecture = _architecture(contents)
    kernels = [_blur(side) for side in architecture.sides[1:]]
    for kernel in kernels:
        _check_blur(contents, kernel)
    keys = _keys(architecture)
    tensors = {keys.get(key, key): tensor for key, tensor in contents.tensors.items() if key not in kernels}
    fit = None
    if "fit.mean" in tensors:
        fit = GaussianFit(tensors.pop("fit.mean"), tensors.pop("fit.std"))
    for index, side in enumerate(architecture.sides):
        key = f"synthesis.layers.{2 * index}.conv.weight"
        if side >= MIRRORED and key in tensors:
            tensors[key] = tensors[key].flip(2, 3)
    for index, noise in enumerate(draw_noises(architecture.noise_sides, 1, torch.Generator().manual_seed(0))):
        tensors.setdefault(f"noise{index}", noise)
    network = load_into(lambda: StyleGAN(architecture), tensors, contents, layout)
    return Checkpoint(network, fit, layout, contents.name)


def _architecture(contents: Contents) -> StyleGANConfig:
    sides = [START * 2**level for level in range(contents.count(r"blocks\.(\d+)x"))]
    channels = [contents.shape(f"blocks.{side}x{side}.conv{'1' if side > START else ''}.weight")[0] for side in sides]
    latent = contents.shape(DENSE)[0]
    layers = contents.count(r"dense(\d+)\.")
    return build_config(contents, lambda: StyleGANConfig(sides[-1], latent, layers, feature_maps=tuple(channels)))


def _keys(architecture: StyleGANConfig) -> dict[str, str]:
    """Return for each key of the files that of ours."""
    keys = {"blocks.4x4.const": "synthesis.const", "torgb.weight": "synthesis.rgb.weight"}
    keys["torgb.bias"] = "synthesis.rgb_bias"
    for part in ("weight", "bias"):
        keys |= {f"dense{i}.{part}": f"mapping.dense.{i}.{part}" for i in range(architecture.mapping_layers)}
    for index, side in enumerate(architecture.sides):
        convolutions = ("conv0_up.", "conv1.") if index else ("", "conv.")  # the constant has a bias alone
        for place, convolution in enumerate(convolutions):
            block, layer = f"blocks.{side}x{side}", f"synthesis.layers.{2 * index + place}"
            epilogue = f"{block}.epi{place + 1}"
            keys |= {
                f"{block}.{convolution}weight": f"{layer}.conv.weight",
                f"{block}.{convolution}bias": f"{layer}.bias",
                f"{epilogue}.noise.weight": f"{layer}.noise_weight",
                f"{epilogue}.style_mod.lin.weight": f"{layer}.style.weight",
                f"{epilogue}.style_mod.lin.bias": f"{layer}.style.bias",
            }
    return keys


def _blur(side: int) -> str:
    return f"blocks.{side}x{side}.conv0_up.intermediate.kernel"


def _check_blur(contents: Contents, key: str) -> None:
    if contents.shape(key) != BLUR.shape or not torch.allclose(contents.tensors[key], BLUR):
        raise InputError(f"{contents.name} is of a network that is not supported: {key} is not [1, 2, 1] / 4 twice")


LAYOUTS = (
    Layout(LERNAPPARAT, _is_lernapparat, _lernapparat),
    Layout(PULSE, lambda contents: contents.has(CONST, DENSE), lambda contents: _checkpoint(contents, PULSE)),
)


ARCHITECTURE = "StyleGAN"
STYLEGAN2 = re.compile(r"(.*\.)?(modulation\.weight|affine\.weight|latent_avg|w_avg)$")
"""Keys that a StyleGAN 2 or 3 has, and a StyleGAN has not."""


def load(weights: str | os.PathLike[str] | Checkpoint | Generator) -> Checkpoint:
    """Return the generator in a file.

    Args:
        weights: a path, a URL or a name of `fastsr.pretrained`, see `fastsr.checkpoints.sources.locate`, of a file by
            `save` or of lernapparat's; a folder with PULSE's synthesis.pt and mapping.pt, or the path of one of the
            two; a generator, see `fastsr.stylegan.generator`; or what this function returned before.

    Raises:
        InputTypeError, InputError, MissingFileError, OutputError: see `locate`, `fastsr.checkpoints.reading.read` and
            `check_generator`; also where the network is unknown.
    """
    if isinstance(weights, Checkpoint):
        return weights
    if not isinstance(weights, (str, os.PathLike)):
        return Checkpoint(check_generator(weights), None, "custom", "weights")
    contents, images = _read(weights)
    if any(STYLEGAN2.match(key) for key in contents.tensors):
        raise InputError(
            f"{contents.name} is of a StyleGAN 2 or 3, with the keys {contents.listing()}; load it by its own code, "
            "and give it as a generator, see docs/pulse.md"
        )
    return replace(load_as(contents, FORMATS), pictures=images)


def save(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Write a StyleGAN in fastsr's own layout, with its Gaussian fit and its domain where it has them.

    Raises:
        InputError: the suffix is not .safetensors, or the generator is another network.
        OutputError: the file cannot be written.
    """
    network, fit = checkpoint.network, checkpoint.fit
    if not isinstance(network, StyleGAN):
        raise InputError(f"{checkpoint.name} is a {type(network).__name__}; only a StyleGAN of fastsr's can be written")
    tensors = network.state_dict()
    if fit is not None:
        tensors |= {"fit.mean": fit.mean, "fit.std": fit.std}
    if checkpoint.domain is not None:
        tensors |= checkpoint.domain.tensors()
    write_fastsr(path, {"architecture": ARCHITECTURE, "config": asdict(network.architecture)}, tensors)


def _read(weights: str | os.PathLike[str]) -> tuple[Contents, str | None]:
    """Return what a file holds, and what the images are called that it was trained on."""
    if os.path.isdir(weights):  # of what cannot be looked at, `locate` tells
        return read_pulse(Path(weights)), None
    path = locate(weights, "pulse")
    contents = read(path)
    return read_pulse(path.parent) if is_part(contents) else contents, pictures_of(path)


def _own(contents: Contents) -> Checkpoint:
    facts, tensors = read_metadata(contents) or {}, dict(contents.tensors)
    try:
        if facts["architecture"] != ARCHITECTURE:
            raise KeyError(facts["architecture"])
        values = with_tuples(facts["config"])
        architecture = build_config(contents, lambda: StyleGANConfig(**values))
        fit = GaussianFit(tensors.pop("fit.mean"), tensors.pop("fit.std")) if "fit.mean" in tensors else None
        domain = Domain.taken(tensors)
    except (KeyError, TypeError, AttributeError) as error:
        raise unknown_error(contents, error) from error
    network = load_into(lambda: StyleGAN(architecture), tensors, contents, "fastsr")
    return Checkpoint(network, fit, "fastsr", contents.name, domain)


FORMATS = (Layout("fastsr", lambda contents: read_metadata(contents) is not None, _own), *LAYOUTS)
