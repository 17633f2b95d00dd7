"""Generators in files: every layout that is known, and fastsr's own."""

from __future__ import annotations

import os
from dataclasses import asdict

from ..checkpoints.formats import Format, configured, fill, load_as
from ..checkpoints.own import own_facts, tuples, unknown, write_own
from ..checkpoints.reading import Contents, read
from ..checkpoints.sources import locate
from ..errors import InputError
from .checkpoint import RANGES, Checkpoint
from .named import NAMED
from .network import SRResNet, SRResNetConfig, Upscaler
from .relatives import MSRResNet, MSRResNetConfig, RRDBNet, RRDBNetConfig
from .relatives_layouts import RELATIVES_LAYOUTS
from .srresnet_layouts import SRRESNET_LAYOUTS

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
        raise InputError(f"{contents.name} is for pictures of {channels} channels; give one for 3, or for 1")
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
    write_own(path, facts, network.state_dict())


def _own(contents: Contents) -> Checkpoint:
    facts = own_facts(contents) or {}
    try:
        kind, config = ARCHITECTURES[facts["architecture"]]
        values = tuples(facts["config"])
        ranges = facts["input_range"], facts["output_range"]
        if not set(ranges) <= set(RANGES):
            raise KeyError(ranges)
        shape = configured(contents, lambda: config(**values))
    except (KeyError, TypeError, AttributeError) as error:
        raise unknown(contents, error) from error
    return Checkpoint(fill(lambda: kind(shape), contents.tensors, contents, "fastsr"), "fastsr", *ranges, contents.name)


FORMATS = (
    Format("fastsr", lambda contents: own_facts(contents) is not None, _own),
    *SRRESNET_LAYOUTS,
    *RELATIVES_LAYOUTS,
)
