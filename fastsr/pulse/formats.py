"""Generators in files: fastsr's own layout, those of other projects, and generators that are no files."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, replace
from pathlib import Path

from ..checkpoints.formats import Format, configured, fill, load_as
from ..checkpoints.own import own_facts, tuples, unknown, write_own
from ..checkpoints.reading import Contents, read
from ..checkpoints.sources import locate
from ..domain import Domain
from ..errors import InputError
from ..pretrained import pictures_of
from .checkpoint import Checkpoint
from .gaussian_fit import GaussianFit
from .generator import Generator, check_generator
from .layouts import LAYOUTS, is_part, read_pulse
from .network import Architecture, StyleGAN

ARCHITECTURE = "StyleGAN"
STYLEGAN2 = re.compile(r"(.*\.)?(modulation\.weight|affine\.weight|latent_avg|w_avg)$")
"""Keys that a StyleGAN 2 or 3 has, and a StyleGAN has not."""


def load(weights: str | os.PathLike[str] | Checkpoint | Generator) -> Checkpoint:
    """Return the generator in a file.

    Args:
        weights: a path, a URL or a name of `fastsr.pretrained`, see `fastsr.checkpoints.sources.locate`, of a file by
            `save` or of lernapparat's; a folder with PULSE's synthesis.pt and mapping.pt, or the path of one of the
            two; a generator, see `fastsr.pulse.generator`; or what this function returned before.

    Raises:
        InputTypeError, InputError, MissingFileError, OutputError: see `locate`, `fastsr.checkpoints.reading.read` and
            `check_generator`; also where the network is unknown.
    """
    if isinstance(weights, Checkpoint):
        return weights
    if not isinstance(weights, (str, os.PathLike)):
        return Checkpoint(check_generator(weights), None, "custom", "weights")
    contents, pictures = _read(weights)
    if any(STYLEGAN2.match(key) for key in contents.tensors):
        raise InputError(
            f"{contents.name} is of a StyleGAN 2 or 3, with the keys {contents.listing()}; load it by its own code, "
            "and give it as a generator, see docs/pulse.md"
        )
    return replace(load_as(contents, FORMATS), pictures=pictures)


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
    write_own(path, {"architecture": ARCHITECTURE, "config": asdict(network.architecture)}, tensors)


def _read(weights: str | os.PathLike[str]) -> tuple[Contents, str | None]:
    """Return what a file holds, and what the pictures are called that it was trained on."""
    if os.path.isdir(weights):  # of what cannot be looked at, `locate` tells
        return read_pulse(Path(weights)), None
    path = locate(weights, "pulse")
    contents = read(path)
    return read_pulse(path.parent) if is_part(contents) else contents, pictures_of(path)


def _own(contents: Contents) -> Checkpoint:
    facts, tensors = own_facts(contents) or {}, dict(contents.tensors)
    try:
        if facts["architecture"] != ARCHITECTURE:
            raise KeyError(facts["architecture"])
        values = tuples(facts["config"])
        architecture = configured(contents, lambda: Architecture(**values))
        fit = GaussianFit(tensors.pop("fit.mean"), tensors.pop("fit.std")) if "fit.mean" in tensors else None
        domain = Domain.taken(tensors)
    except (KeyError, TypeError, AttributeError) as error:
        raise unknown(contents, error) from error
    network = fill(lambda: StyleGAN(architecture), tensors, contents, "fastsr")
    return Checkpoint(network, fit, "fastsr", contents.name, domain)


FORMATS = (Format("fastsr", lambda contents: own_facts(contents) is not None, _own), *LAYOUTS)
