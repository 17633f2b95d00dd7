"""Layouts of checkpoints: each says which keys it has and makes a network of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor, nn

from ..errors import InputError
from .reading import IGNORED, Contents

Loaded = TypeVar("Loaded")
Config = TypeVar("Config")
Network = TypeVar("Network", bound=nn.Module)


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


def recognise(contents: Contents, formats: Sequence[Format[Loaded]]) -> Format[Loaded]:
    """Return the first of `formats` that the file has.

    Raises:
        InputError: it has none; the message names some of its keys.
    """
    for layout in formats:
        if layout.detect(contents):
            return layout
    raise InputError(
        f"{contents.name} is of an unknown network, with the keys {contents.listing()}; known are "
        f"{', '.join(layout.name for layout in formats)}"
    )


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


def fill(network: Network, tensors: Mapping[str, Tensor], contents: Contents, layout: str) -> Network:
    """Return `network` in inference mode with the weights `tensors`, by its own keys, made of those of `contents`.

    Raises:
        InputError: keys are missing or left over, or a shape differs; the file is not of the `layout` after all.
    """
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
        raise InputError(f"{contents.name} looks like {layout}, but does not fit: {', '.join(odd[:3])}{more}")
    network.load_state_dict(dict(tensors), strict=False)
    return network.eval().requires_grad_(False)
