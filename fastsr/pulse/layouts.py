"""The layouts in which other projects keep a StyleGAN: lernapparat's one file, and the files of PULSE.

PULSE has the same names in a file for each network, with fewer prefixes. From sides of 128 on, their layers that
enlarge are transposed convolutions with the kernels as they are stored; ours apply all kernels in one way, so that
these are mirrored here.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ..checkpoints.formats import Format, configured, fill
from ..checkpoints.reading import Contents, read
from ..errors import InputError
from .checkpoint import Checkpoint
from .gaussian_fit import GaussianFit
from .network import Architecture, StyleGAN
from .noises import draw_noises
from .synthesis import START

LERNAPPARAT, PULSE = "lernapparat", "PULSE"
SYNTHESIS, MAPPING, FIT = "synthesis.pt", "mapping.pt", "gaussian_fit.pt"
"""The files of PULSE."""
CONST, DENSE = "blocks.4x4.const", "dense0.weight"
"""A key of each of the first two."""
PREFIXES = ("g_synthesis.", "g_mapping.")
MIRRORED = 128
"""The least side whose enlarging layer has its kernels mirrored."""
BLUR = torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0]))[None, None] / 16
"""What is convolved with what an enlarging layer gives; the files have it for each of them."""


def read_pulse(folder: Path) -> Contents:
    """Return what the files of PULSE in a folder hold, with the Gaussian fit as fit.mean and fit.std where it is.

    Raises:
        InputError: a file of a network is missing, or cannot be read.
    """
    name = f"weights={str(folder)!r}"
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
    network = fill(lambda: StyleGAN(architecture), tensors, contents, layout)
    return Checkpoint(network, fit, layout, contents.name)


def _architecture(contents: Contents) -> Architecture:
    sides = [START * 2**level for level in range(contents.count(r"blocks\.(\d+)x"))]
    channels = [contents.shape(f"blocks.{side}x{side}.conv{'1' if side > START else ''}.weight")[0] for side in sides]
    latent = contents.shape(DENSE)[0]
    layers = contents.count(r"dense(\d+)\.")
    return configured(contents, lambda: Architecture(sides[-1], latent, layers, feature_maps=tuple(channels)))


def _keys(architecture: Architecture) -> dict[str, str]:
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
    Format(LERNAPPARAT, _is_lernapparat, _lernapparat),
    Format(PULSE, lambda contents: contents.has(CONST, DENSE), lambda contents: _checkpoint(contents, PULSE)),
)
