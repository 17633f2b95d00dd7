"""Generators in files: every layout that is known, and fastsr's own."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save as to_bytes

from ..checkpoints.formats import Format, configured, fill, recognise
from ..checkpoints.reading import Contents, read
from ..checkpoints.sources import locate
from ..errors import InputError
from ..files import atomic_write
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
METADATA = "fastsr"
"""The key under which a safetensors file of ours says what it holds."""


def load(weights: str | os.PathLike[str] | Checkpoint) -> Checkpoint:
    """Return the generator in a file.

    Args:
        weights: a path, a URL or a name of `NAMED`, see `fastsr.checkpoints.sources.locate`; or what this function
            returned before.

    Raises:
        InputTypeError, InputError, MissingFileError, OutputError: see `locate` and `fastsr.checkpoints.reading.read`;
            also where the network is unknown, or not one for grey or colour pictures.
    """
    if isinstance(weights, Checkpoint):
        return weights
    contents = read(locate(weights, {name: entry.url for name, entry in NAMED.items()}))
    checkpoint = recognise(contents, FORMATS).load(contents)
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
    if Path(path).suffix.lower() != ".safetensors":
        raise InputError(f"path={str(path)!r} does not end in .safetensors")
    network = checkpoint.network
    facts = {
        "architecture": network.architecture,
        "config": asdict(network.config),
        "input_range": checkpoint.input_range,
        "output_range": checkpoint.output_range,
    }
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
    with atomic_write(Path(path)) as file:
        file.write(to_bytes(tensors, {METADATA: json.dumps(facts)}))


def _own(contents: Contents) -> Checkpoint:
    try:
        facts = json.loads(contents.metadata[METADATA])
        kind, config = ARCHITECTURES[facts["architecture"]]
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in facts["config"].items()}
        ranges = facts["input_range"], facts["output_range"]
        if not set(ranges) <= set(RANGES):
            raise KeyError(ranges)
        shape = configured(contents, lambda: config(**values))
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{contents.name} was written by another version of fastsr: {error!r} is unknown") from error
    return Checkpoint(fill(kind(shape), contents.tensors, contents, "fastsr"), "fastsr", *ranges, contents.name)


FORMATS = (
    Format("fastsr", lambda contents: METADATA in contents.metadata, _own),
    *SRRESNET_LAYOUTS,
    *RELATIVES_LAYOUTS,
)
