"""Layouts of checkpoints: each says which keys it has and makes a network of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ..device import default_float32
from ..errors import FastsrError, InputError
from .reading import IGNORED, Contents

Loaded = TypeVar("Loaded")
Config = TypeVar("Config")
Network = TypeVar("Network", bound=nn.Module)

UNFITTING = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What shapes that no network has may lead to where a network is made of them."""
SPARE_PARAMETERS = 100
"""So many more than the file has may be missing for the error to say which."""


@dataclass(frozen=True)
class Format(Generic[Loaded]):
    """A layout of keys.

    Attributes:
        name: the project or program that writes it.
        detect: whether a file has this layout, by its keys and shapes; never raises.
        load: makes the network, and what is known of it; raises `InputError` for weights that are not complete.
    """

    name: str
    detect: Callable[[Contents], bool]
    load: Callable[[Contents], Loaded]


def load_as(contents: Contents, formats: Sequence[Format[Loaded]]) -> Loaded:
    """Return what the first of `formats` that the file has makes of it.

    Raises:
        InputError: it has none, and the message names some of its keys; or its weights do not belong together.
    """
    for layout in formats:
        if layout.detect(contents):
            break
    else:
        raise InputError(
            f"{contents.name} is of an unknown network, with the keys {contents.listing()}; known are "
            f"{', '.join(layout.name for layout in formats)}"
        )
    try:
        return layout.load(contents)
    except FastsrError:
        raise
    except UNFITTING as error:
        raise InputError(f"{contents.name} looks like {layout.name}, but does not fit: {error}") from error


def renamed(contents: Contents, modules: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the tensors by our keys.

    Args:
        contents: of the file.
        modules: for each module of the file the name of ours; keys of other modules stay as they are.
    """
    found = {}
    for key, tensor in contents.tensors.items():
        module, _, parameter = key.rpartition(".")
        found[f"{modules[module]}.{parameter}" if module in modules else key] = tensor
    return found


def configured(contents: Contents, make: Callable[[], Config]) -> Config:
    """Return the configuration that `make` makes of a file's shapes.

    Raises:
        InputError: it refuses them.
    """
    try:
        return make()
    except ValueError as error:
        raise InputError(f"{contents.name} is of a network that is not supported: {error}") from error


def fill(make: Callable[[], Network], tensors: Mapping[str, Tensor], contents: Contents, layout: str) -> Network:
    """Return the network of `make` in inference mode with the weights `tensors`, made of those of `contents`.

    It gets memory once it is known to fit, for a small file may tell of a network of any size.

    Args:
        make: makes it.
        tensors: by its own keys.
        contents: of the file.
        layout: what its layout is called.

    Raises:
        InputError: keys are missing or left over, or a shape differs; the file is not of the `layout` after all.
    """
    problem = f"{contents.name} looks like {layout}, but does not fit"
    with torch.device("meta"), default_float32(), _at_most(len(tensors), problem):
        network = make()
    own = network.state_dict()
    wanted = {key: value.shape for key, value in own.items() if not key.endswith(IGNORED)}
    odd = [f"no {key}" for key in wanted if key not in tensors]
    odd += [f"unknown {key}" for key in tensors if key not in wanted]
    odd += [
        f"{key} of shape {tuple(tensors[key].shape)} instead of {tuple(shape)}"
        for key, shape in wanted.items()
        if key in tensors and tensors[key].shape != shape
    ]
    if odd:
        more = f" and {len(odd) - 3} more" if len(odd) > 3 else ""
        raise InputError(f"{problem}: {', '.join(odd[:3])}{more}")
    values = {key: tensors[key].to(own[key].dtype, copy=True, memory_format=torch.contiguous_format) for key in wanted}
    counts = {key: torch.zeros((), dtype=own[key].dtype) for key in own if key not in wanted}
    network.load_state_dict({**values, **counts}, assign=True)
    return network.eval().requires_grad_(False)


@contextmanager
def _at_most(parameters: int, problem: str) -> Iterator[None]:
    """Let networks that this thread makes have at most so many parameters and some more, whatever their numbers say.

    Raises:
        InputError: one has more.
    """
    thread, left = threading.get_ident(), parameters + SPARE_PARAMETERS

    def count(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal left
        if threading.get_ident() == thread:
            left -= 1
            if left < 0:
                raise InputError(f"{problem}: it tells of a network of more than {parameters} weights, and has no more")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
