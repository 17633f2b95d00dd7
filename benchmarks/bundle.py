"""Make the file of weights that comes with fastsr of one that `fastsr train` wrote.

    python -m benchmarks.bundle NAME WEIGHTS [--domain DIR] [--pictures DIR] [--out DIR]

writes NAME.safetensors, with what convolutions and linear layers multiply by in float16, which halves the file, and
everything else, such as biases and norms, in float32. --domain is the folder of the training pictures, as `fastsr
train` takes it: the file then says what they look like, so that others can be warned of.

What float16 changes in results, of colours from 0 to 255, is measured with seed 0 on the first pictures of --pictures,
made as small as the weights take them. A StyleGAN needs none: it is asked for pictures of random latents.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import fastsr
from fastsr import domain
from fastsr.checkpoints.own import own_facts
from fastsr.checkpoints.reading import read
from fastsr.checkpoints.sources import locate
from fastsr.checksums import digest_of
from fastsr.data.training import find_training_pictures
from fastsr.errors import FastsrError, InputError
from fastsr.files import prepare_folder
from fastsr.pretrained import FOLDER
from fastsr.pulse import formats as pulse
from fastsr.pulse.network import StyleGAN
from fastsr.sr3 import formats as sr3
from fastsr.srgan import formats as srgan

ROUNDING = 2.0**-11
"""How much float16 rounds a number, relative to it, at the most."""
COMPARED = 4
"""Pictures whose results are compared."""
EXACT: dict[str, Any] = {"device": "cpu", "dtype": "float32", "progress": False}


@dataclass(frozen=True)
class Kind:
    """What can be bundled.

    Attributes:
        load, save: of the method.
        results: of weights and pictures, (3, H, W) in [0, 1], which are made small first.
        has_domain: whether the weights can say what they were trained on.
    """

    load: Callable[[Path], Any]
    save: Callable[[Any, Path], None]
    results: Callable[[Any, Sequence[Tensor]], list[Tensor]]
    has_domain: bool


def bundle(name: str, weights: str, pictures: Sequence[Tensor] = (), folder: Path = FOLDER) -> Path:
    """Write the file, and return its path.

    Args:
        name: of the weights.
        weights: the file that `fastsr train` wrote.
        pictures: of the training, (3, H, W) in [0, 1]; none for weights that do not say what they look like.
        folder: where it goes.

    Raises:
        FastsrError: the weights cannot be read or are of no such file, float16 would change them by more than
            rounding, or the file cannot be written.
    """
    kind = kind_of(weights)
    checkpoint = kind.load(locate(weights))
    if len(pictures):
        if not kind.has_domain:
            raise InputError(f"--domain is for weights of SR3 and of a StyleGAN, and {weights!r} is {checkpoint}")
        checkpoint = replace(checkpoint, domain=domain.fit(pictures))
    prepare_folder(folder)
    path = folder / f"{name}.safetensors"
    kind.save(replace(checkpoint, network=halved(checkpoint.network)), path)
    return path


def halved(network: nn.Module) -> nn.Module:
    """Return a copy of a network whose parameters and buffers of two and more dimensions are in float16.

    Raises:
        InputError: that would change one by more than rounding.
    """
    found = copy.deepcopy(network)
    for name, tensor in chain(found.named_parameters(), found.named_buffers()):
        if tensor.ndim > 1:
            tensor.data = in_float16(tensor.data, name)
    return found


def in_float16(values: Tensor, name: str) -> Tensor:
    """Return values in float16.

    Raises:
        InputError: one is too large for it, or they are all so small that more is lost than by rounding: numbers that
            are small beside others in the tensor may lose as much as these.
    """
    small = values.half()
    lost = (small.float() - values).abs()
    usual = values.square().mean().sqrt()
    if not bool((lost <= ROUNDING * values.abs().maximum(usual)).all()):
        low, high = values.abs().aminmax()
        raise InputError(f"{name} has values of sizes from {low:.3g} to {high:.3g}, which float16 does not hold")
    return small


def kind_of(weights: str) -> Kind:
    """Return what a file holds.

    Raises:
        FastsrError: it cannot be read, or `fastsr train` did not write it.
    """
    facts = own_facts(read(locate(weights))) or {}
    kind = KINDS.get(facts.get("architecture", ""))
    if kind is None:
        raise InputError(f"weights={weights!r} was not written by `fastsr train`; give such a file")
    return kind


def difference(kind: Kind, weights: str, path: Path, pictures: Sequence[Tensor]) -> tuple[float, float] | None:
    """Return the largest and the mean difference of results of two files, of 255; None where there are none."""
    before, after = (kind.results(kind.load(file), pictures) for file in (locate(weights), path))
    if not before:
        return None
    apart = torch.cat([(one - other).abs().flatten() for one, other in zip(before, after, strict=True)])
    return 255 * apart.max().item(), 255 * apart.mean().item()


def pictures_of(folder: str | Path, most: int | None = None) -> list[Tensor]:
    """Return the first pictures of a folder, as `fastsr train` takes it, (3, H, W) in [0, 1]."""
    return [one.hr.read().float() / 255 for one in find_training_pictures([folder], None)[:most]]


def _enlarged(checkpoint: Any, pictures: Sequence[Tensor]) -> list[Tensor]:
    factor = checkpoint.network.scale
    small = [fastsr.resize(picture, 1 / factor) for picture in pictures]
    return [fastsr.srgan(one, factor, weights=checkpoint, **EXACT) for one in small]


def _drawn(checkpoint: Any, pictures: Sequence[Tensor]) -> list[Tensor]:
    side = checkpoint.size // checkpoint.factor
    small = [fastsr.resize(picture, size=(side, side)) for picture in pictures]
    return [fastsr.sr3(one, weights=replace(checkpoint, domain=None), **EXACT) for one in small]


@torch.no_grad()
def _generated(checkpoint: Any, pictures: Sequence[Tensor]) -> list[Tensor]:
    network: StyleGAN = checkpoint.network
    rows = network.mapping(torch.randn(COMPARED, network.latent, generator=torch.Generator().manual_seed(0)))
    made = network(rows[:, None].expand(-1, network.layers, -1), network.noises)
    return [((made + 1) / 2).clamp(0, 1)]


KINDS = {
    **dict.fromkeys(srgan.ARCHITECTURES, Kind(srgan.load, srgan.save, _enlarged, has_domain=False)),
    sr3.ARCHITECTURE: Kind(sr3.load, sr3.save, _drawn, has_domain=True),
    pulse.ARCHITECTURE: Kind(pulse.load, pulse.save, _generated, has_domain=True),
}
"""By the architecture that a file says it has."""


def main() -> None:
    """Bundle, and print what a model card says of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", metavar="NAME", help="of the weights, such as srgan-x4")
    parser.add_argument("weights", metavar="WEIGHTS", help="what fastsr train wrote, .safetensors")
    parser.add_argument("--domain", metavar="DIR", help="the training pictures of SR3 or of a StyleGAN")
    parser.add_argument("--pictures", metavar="DIR", help="pictures to compare results on")
    parser.add_argument("--out", metavar="DIR", type=Path, default=FOLDER, help="default: the package's")
    given = parser.parse_args()
    try:
        known = [] if given.domain is None else pictures_of(given.domain)
        path = bundle(given.name, given.weights, known, given.out)
        kind = kind_of(given.weights)
        seen = [] if given.pictures is None else pictures_of(given.pictures, COMPARED)
        found = difference(kind, given.weights, path, seen)
    except FastsrError as error:
        raise SystemExit(f"Error: {error}") from error
    checkpoint = kind.load(path)
    parameters = sum(parameter.numel() for parameter in checkpoint.network.parameters())
    print(f"{path}: {checkpoint}, {path.stat().st_size / 2**20:.2f} MiB, {parameters} parameters")
    print(f"sha256 {digest_of(path, 'sha256')}")
    if found is not None:
        print(f"results differ by {found[0]:.3f} of 255 at most, {found[1]:.4f} in the mean")


if __name__ == "__main__":
    main()
