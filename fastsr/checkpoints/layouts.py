"""Layouts of checkpoints: how a file is recognized by its keys, and how its tensors become a network.

The first half serves the layouts of all projects; the second half is fastsr's own layout, a safetensors file whose
metadata describes the network.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ..checks import input_error
from ..errors import FastsrError, InputError
from ..io.files import atomic_write
from ..runtime.device import default_float32
from .reading import IGNORED, Contents

Loaded = TypeVar("Loaded")
Config = TypeVar("Config")
Network = TypeVar("Network", bound=nn.Module)

UNFITTING = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""The errors that building a network from inconsistent shapes may raise."""
SPARE_PARAMETERS = 100
"""A network may have this many parameters more than the file has tensors; then the error lists the missing ones."""


@dataclass(frozen=True)
class Layout(Generic[Loaded]):
    """A layout of keys: how one project names the tensors of a network.

    Attributes:
        name: the project or program that writes this layout.
        detect: returns whether a file has this layout, judging by its keys and shapes; never raises.
        load: builds the network of a file and loads its weights; raises `InputError` if the weights are incomplete.
    """

    name: str
    detect: Callable[[Contents], bool]
    load: Callable[[Contents], Loaded]


def load_as(contents: Contents, layouts: Sequence[Layout[Loaded]]) -> Loaded:
    """Load a file by the first of `layouts` that detects it.

    Raises:
        InputError: no layout matches, in which case the message lists the first keys of the file; or the weights are
            inconsistent.
    """
    for layout in layouts:
        if layout.detect(contents):
            break
    else:
        raise InputError(
            f"{contents.name} is of an unknown network, with the keys {contents.listing()}; known are "
            f"{', '.join(layout.name for layout in layouts)}"
        )
    try:
        return layout.load(contents)
    except FastsrError:
        raise
    except UNFITTING as error:
        raise InputError(f"{contents.name} looks like {layout.name}, but does not fit: {error}") from error


def rename_keys(contents: Contents, modules: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the tensors of a file under fastsr's keys.

    Args:
        contents: the file.
        modules: fastsr's name for each module of the file; keys of other modules are kept.
    """
    tensors = {}
    for key, tensor in contents.tensors.items():
        module, _, parameter = key.rpartition(".")
        tensors[f"{modules[module]}.{parameter}" if module in modules else key] = tensor
    return tensors


def build_config(contents: Contents, make: Callable[[], Config]) -> Config:
    """Return the configuration that `make` builds from the shapes in a file.

    Raises:
        InputError: `make` raises `ValueError`: fastsr has no such network.
    """
    try:
        return make()
    except ValueError as error:
        raise InputError(f"{contents.name} is of a network that is not supported: {error}") from error


def load_into(make: Callable[[], Network], tensors: Mapping[str, Tensor], contents: Contents, layout: str) -> Network:
    """Return the network of `make`, frozen and in inference mode, with the weights `tensors`.

    Memory is allocated only once the weights are known to fit: the header of a small file may describe a network of
    any size.

    Args:
        make: builds the network.
        tensors: weights by the network's own keys.
        contents: the file that the weights come from, for errors.
        layout: name of its layout, for errors.

    Raises:
        InputError: keys are missing or unknown, or a shape differs.
    """
    mismatch = f"{contents.name} looks like {layout}, but does not fit"
    with torch.device("meta"), default_float32(), _limit_parameters(len(tensors), mismatch):
        network = make()
    own = network.state_dict()
    wanted = {key: value.shape for key, value in own.items() if not key.endswith(IGNORED)}
    problems = [f"no {key}" for key in wanted if key not in tensors]
    problems += [f"unknown {key}" for key in tensors if key not in wanted]
    problems += [
        f"{key} of shape {tuple(tensors[key].shape)} instead of {tuple(shape)}"
        for key, shape in wanted.items()
        if key in tensors and tensors[key].shape != shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise InputError(f"{mismatch}: {', '.join(problems[:3])}{more}")
    values = {key: tensors[key].to(own[key].dtype, copy=True, memory_format=torch.contiguous_format) for key in wanted}
    counts = {key: torch.zeros((), dtype=own[key].dtype) for key in own if key not in wanted}
    network.load_state_dict({**values, **counts}, assign=True)
    return network.eval().requires_grad_(False)


@contextmanager
def _limit_parameters(stored: int, mismatch: str) -> Iterator[None]:
    """Stop this thread from building a network with many more parameters than the `stored` tensors of a file.

    Raises:
        InputError: the network has more than `SPARE_PARAMETERS` parameters more.
    """
    thread, left = threading.get_ident(), stored + SPARE_PARAMETERS

    def count(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal left
        if threading.get_ident() == thread:
            left -= 1
            if left < 0:
                raise InputError(
                    f"{mismatch}: its header describes a network with more than {stored} parameters, but the file "
                    f"contains only {stored}"
                )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


METADATA = "fastsr"
"""The metadata key of a safetensors file that holds fastsr's description of the network, as JSON."""


def write_fastsr(path: str | os.PathLike[str], facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write weights in fastsr's own layout.

    Args:
        path: a file name that ends in .safetensors.
        facts: description of the network, of values that JSON can hold; "architecture" tells networks apart.
        tensors: the weights, by key.

    Raises:
        InputError: the file name has another suffix.
        OutputError: the file cannot be written.
    """
    if Path(path).suffix.lower() != ".safetensors":
        raise input_error("path", str(path), "does not end in .safetensors")
    on_cpu = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    with atomic_write(Path(path)) as file:
        file.write(to_bytes(on_cpu, {METADATA: json.dumps(facts)}))


def read_metadata(contents: Contents) -> dict[str, Any] | None:
    """Return fastsr's description of the network in a file.

    Returns:
        The facts given to `write_fastsr`; None if the file is not in fastsr's layout, an empty dictionary if its
        metadata is not valid JSON.
    """
    if METADATA not in contents.metadata:
        return None
    try:
        facts = json.loads(contents.metadata[METADATA])
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def unknown_error(contents: Contents, error: Exception) -> InputError:
    """Return the error for a file in fastsr's layout whose description this version does not understand."""
    return InputError(
        f"{contents.name} was written for another method or by another version of fastsr: {error!r} is unknown"
    )


def with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values read from JSON with tuples in place of lists, as configurations need them."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Return a hex digest of tensors and their keys, 16 digits."""
    digest = hashlib.sha256()
    for key, tensor in tensors.items():
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
