"""Read the tensors of a checkpoint file, without the wrappers and key prefixes that training code adds."""

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

from ..checks import spell
from ..errors import InputError
from ..pretrained import display_name

WRAPPERS = ("params_ema", "params", "state_dict", "generator", "model", "net")
"""The keys under which training code stores the weights of a network; if a file has several, the first one counts."""
PREFIXES = ("module.", "_orig_mod.", "netG.", "generator.", "net.")
"""The prefixes that training code adds to keys; keys without the prefix belong to another network, such as a
discriminator."""
IGNORED = ".num_batches_tracked"
"""The ending of keys that do not matter for inference."""
MOST_PREFIXES = 8
"""The maximum number of prefixes that are stripped from a key."""
KEYS_SHOWN = 6
"""The number of keys that an error lists."""
NUMBERS = frozenset(
    getattr(torch, name)
    for name in (
        *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
        *("uint8", "int8", "int16", "int32", "int64", "bool"),
    )
)
"""The dtypes of tensors that are accepted."""
REPEATED_BYTES = 2**30
"""The maximum number of bytes by which expanded tensors, which repeat stored numbers, may exceed the file size."""


@dataclass(frozen=True)
class Contents:
    """The contents of a checkpoint file.

    Attributes:
        tensors: the tensors by key, without wrappers and prefixes; floating point ones in float32, on the CPU.
        metadata: metadata of a safetensors file; empty for other files.
        name: the argument and its value that gave the file, for errors, such as "weights='model.pth'".
    """

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    name: str

    def has(self, *keys: str) -> bool:
        """Return whether all of these keys are present."""
        return all(key in self.tensors for key in keys)

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of a tensor.

        Raises:
            InputError: there is no such tensor.
        """
        if key not in self.tensors:
            raise InputError(f"{self.name} is not complete: its other keys imply {key!r}, which is missing")
        return tuple(self.tensors[key].shape)

    def count(self, pattern: str) -> int:
        """Return how many different values the group of the regular expression `pattern` matches at key starts."""
        return len({match[1] for key in self.tensors if (match := re.match(pattern, key))})

    def listing(self) -> str:
        """Return the first `KEYS_SHOWN` keys, for an error."""
        keys = list(self.tensors)
        more = f" and {len(keys) - KEYS_SHOWN} more" if len(keys) > KEYS_SHOWN else ""
        return f"{', '.join(keys[:KEYS_SHOWN])}{more}"


def read(path: Path, *, argument: str = "weights") -> Contents:
    """Read a checkpoint: a .safetensors file, or any file that `torch.save` wrote. No code of the file is run.

    Args:
        path: the file.
        argument: name of the argument that gave the file, for errors.

    Raises:
        InputError: the file cannot be read, is truncated, contains Python objects besides tensors, or no tensors, or
            a tensor with NaN or infinite values.
    """
    name = spell(argument, display_name(path))
    metadata: Mapping[str, str] = {}
    if path.suffix.lower() == ".safetensors":
        loaded, metadata = _read_safetensors(path, name)
    else:
        loaded = _read_pickle(path, name)
    tensors = _strip(_unwrap(loaded))
    if not tensors:
        raise InputError(f"{name} holds no weights of a network; {_describe(loaded)}")
    _check_tensors(tensors, path.stat().st_size, name)
    contents = Contents({key: _to_float32(tensor) for key, tensor in tensors.items()}, metadata, name)
    broken = [key for key, tensor in contents.tensors.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise InputError(f"{name} holds NaN or infinite values, in {broken[0]!r}; its training had failed")
    return contents


def _read_safetensors(path: Path, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{name} cannot be read as safetensors ({error}); it may be truncated") from error


def _read_pickle(path: Path, name: str) -> Any:
    try:
        file = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from error
    with file:
        try:
            if _claims_more_than_it_holds(path):
                raise pickle.UnpicklingError
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file can raise almost anything
            code = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
            if code is None:
                raise InputError(
                    f"{name} cannot be read as a checkpoint; it may be truncated, or not a checkpoint at all"
                ) from error
            raise InputError(
                f"{name} holds a Python object, {code[1]}, and reading it would run code of the file; save the "
                "network's state_dict() alone, where its code is at hand, and give that file"
            ) from error


def _unwrap(loaded: Any) -> dict[str, Tensor]:
    """Return the tensors of the innermost dictionary that `WRAPPERS` lead to."""
    visited: set[int] = set()  # a dictionary may contain itself
    while isinstance(loaded, Mapping) and id(loaded) not in visited:
        visited.add(id(loaded))
        inner = next((loaded[key] for key in WRAPPERS if isinstance(loaded.get(key), Mapping)), None)
        if inner is None:
            return {str(key): value for key, value in loaded.items() if isinstance(value, Tensor)}
        loaded = inner
    return {}


def _strip(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without `IGNORED` keys, and without the `PREFIXES` of keys."""
    tensors = {key: tensor for key, tensor in tensors.items() if not key.endswith(IGNORED)}
    for _ in range(MOST_PREFIXES):
        prefix = next((prefix for prefix in PREFIXES if any(key.startswith(prefix) for key in tensors)), None)
        if prefix is None:
            break
        tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
    return tensors


def _claims_more_than_it_holds(path: Path) -> bool:
    """Return whether the members of a zip archive are larger than the archive: `torch.save` does not compress."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return sum(info.file_size for info in archive.infolist()) > path.stat().st_size


def _check_tensors(tensors: Mapping[str, Tensor], stored: int, name: str) -> None:
    """Check that tensors are dense and that their numbers are in the file: a few bytes can claim any number of them.

    Args:
        tensors: the tensors by key.
        stored: size of the file in bytes.
        name: name of the file, for errors.

    Raises:
        InputError: a tensor is sparse, nested, quantized or on another device, or the file is too small for it.
    """
    storages: set[int] = set()
    left = stored + REPEATED_BYTES
    for key, tensor in tensors.items():
        kind = _unusual_kind(tensor)
        if kind is not None:
            raise InputError(f"{name} holds {key!r} as a tensor {kind}; give dense tensors on the CPU")
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in storages:
            storages.add(storage.data_ptr())
            stored -= storage.nbytes()
        left -= tensor.numel() * tensor.element_size()
        if stored < 0 or left < 0:
            raise InputError(f"{name} states more numbers in {key!r} than it holds; it is damaged")


def _unusual_kind(tensor: Tensor) -> str | None:
    """Return why a tensor is not a dense one of an accepted dtype on the CPU; None if it is."""
    if tensor.is_nested:
        return "that is nested"
    if tensor.layout != torch.strided:
        return f"of the layout {tensor.layout}"
    if tensor.device.type != "cpu":
        return f"on the device {tensor.device}"
    return None if tensor.dtype in NUMBERS else f"of the type {tensor.dtype}"


def _to_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _describe(loaded: Any) -> str:
    if isinstance(loaded, Mapping):
        return f"its keys are {', '.join(map(str, list(loaded)[:KEYS_SHOWN])) or 'none'}"
    return f"it holds a {type(loaded).__name__}"
