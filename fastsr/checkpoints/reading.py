"""The tensors of a checkpoint file, without the wrapping that training code puts around them."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import InputError
from ..pretrained import called

WRAPPERS = ("params_ema", "params", "state_dict", "generator", "model", "net")
"""Names under which training code keeps the weights of a network; of several the first is taken."""
PREFIXES = ("module.", "_orig_mod.", "netG.", "generator.", "net.")
"""What is put before every key; keys without it belong to something else, such as a discriminator."""
IGNORED = ".num_batches_tracked"
MOST_PREFIXES = 8
"""Before a key, one after the other."""
KEYS_SHOWN = 6
NUMBERS = frozenset(
    getattr(torch, name)
    for name in (
        *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
        *("uint8", "int8", "int16", "int32", "int64", "bool"),
    )
)
"""The types of tensors that are read."""
REPEATED_BYTES = 2**30
"""The most that tensors may have beyond what is in the file: there each number can stand for many."""


@dataclass(frozen=True)
class Contents:
    """What a checkpoint file holds.

    Attributes:
        tensors: by key, without wrapping and prefixes; floats in float32, on the CPU.
        metadata: of a safetensors file; empty for others.
        name: what errors call the file.
    """

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    name: str

    def has(self, *keys: str) -> bool:
        """Whether all of these keys are there."""
        return all(key in self.tensors for key in keys)

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of a tensor.

        Raises:
            InputError: there is none.
        """
        if key not in self.tensors:
            raise InputError(f"{self.name} has no {key!r}, which its other keys lead to expect; it is not complete")
        return tuple(self.tensors[key].shape)

    def count(self, pattern: str) -> int:
        """Return how many numbers the group of `pattern` takes over all keys that it matches from their beginning."""
        return len({match[1] for key in self.tensors if (match := re.match(pattern, key))})

    def listing(self) -> str:
        """Return the first keys, for an error."""
        keys = list(self.tensors)
        more = f" and {len(keys) - KEYS_SHOWN} more" if len(keys) > KEYS_SHOWN else ""
        return f"{', '.join(keys[:KEYS_SHOWN])}{more}"


def read(path: Path) -> Contents:
    """Read a checkpoint: safetensors by its suffix, else what `torch.save` writes. No code of the file is run.

    Raises:
        InputError: the file cannot be read, is cut short, holds Python objects beside tensors, or no tensors.
    """
    name = f"weights={called(path)!r}"
    metadata: Mapping[str, str] = {}
    if path.suffix.lower() == ".safetensors":
        found, metadata = _safetensors(path, name)
    else:
        found = _pickle(path, name)
    tensors = _strip(_unwrap(found))
    if not tensors:
        raise InputError(f"{name} holds no weights of a network; {_seen(found)}")
    _check_tensors(tensors, path.stat().st_size, name)
    contents = Contents({key: _plain(tensor) for key, tensor in tensors.items()}, metadata, name)
    broken = [key for key, tensor in contents.tensors.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise InputError(f"{name} holds NaN or infinite values, in {broken[0]!r}; its training had failed")
    return contents


def _safetensors(path: Path, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{name} cannot be read as safetensors ({error}); it may be cut short") from error


def _pickle(path: Path, name: str) -> Any:
    try:
        file = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from error
    with file:
        try:
            if _states_more_than_it_has(path):
                raise pickle.UnpicklingError
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a damaged file makes of the reader
            code = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
            if code is None:
                raise InputError(f"{name} cannot be read as a checkpoint; it may be cut short, or none") from error
            raise InputError(
                f"{name} holds a Python object, {code[1]}, and reading that would run code of the file; save the "
                "network's state_dict() alone, where its code is at hand, and give that file"
            ) from error


def _unwrap(found: Any) -> dict[str, Tensor]:
    """Return the tensors of the innermost dictionary that `WRAPPERS` lead to."""
    seen: set[int] = set()  # a dictionary may hold itself
    while isinstance(found, Mapping) and id(found) not in seen:
        seen.add(id(found))
        inner = next((found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)), None)
        if inner is None:
            return {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
        found = inner
    return {}


def _strip(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    tensors = {key: tensor for key, tensor in tensors.items() if not key.endswith(IGNORED)}
    for _ in range(MOST_PREFIXES):
        prefix = next((prefix for prefix in PREFIXES if any(key.startswith(prefix) for key in tensors)), None)
        if prefix is None:
            break
        tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
    return tensors


def _states_more_than_it_has(path: Path) -> bool:
    """Whether a zip archive has parts that are larger than it is: `torch.save` compresses nothing."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return sum(info.file_size for info in archive.infolist()) > path.stat().st_size


def _check_tensors(tensors: Mapping[str, Tensor], stored: int, name: str) -> None:
    """Check that tensors are plain ones, whose numbers are in the file: a few bytes can stand for any number of them.

    Raises:
        InputError: one is not.
    """
    storages: set[int] = set()
    left = stored + REPEATED_BYTES
    for key, tensor in tensors.items():
        kind = _odd_kind(tensor)
        if kind is not None:
            raise InputError(f"{name} holds {key!r} as a tensor {kind}; give plain numbers on the CPU")
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in storages:
            storages.add(storage.data_ptr())
            stored -= storage.nbytes()
        left -= tensor.numel() * tensor.element_size()
        if stored < 0 or left < 0:
            raise InputError(f"{name} states more numbers in {key!r} than it holds; it is damaged")


def _odd_kind(tensor: Tensor) -> str | None:
    """Return what keeps a tensor from being read as numbers, if something does."""
    if tensor.is_nested:
        return "that is nested"
    if tensor.layout != torch.strided:
        return f"of the layout {tensor.layout}"
    if tensor.device.type != "cpu":
        return f"on the device {tensor.device}"
    return None if tensor.dtype in NUMBERS else f"of the type {tensor.dtype}"


def _plain(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _seen(found: Any) -> str:
    if isinstance(found, Mapping):
        return f"its keys are {', '.join(map(str, list(found)[:KEYS_SHOWN])) or 'none'}"
    return f"it holds a {type(found).__name__}"
