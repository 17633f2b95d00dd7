"""fastsr's own layout: a safetensors file that says which network it holds, and what else must be known of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save as to_bytes
from torch import Tensor

from ..errors import InputError
from ..files import atomic_write
from .reading import Contents

METADATA = "fastsr"
"""The key of the file's metadata under which that is said, in JSON."""


def write_own(path: str | os.PathLike[str], facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write weights.

    Args:
        path: of the file, .safetensors.
        facts: what JSON can hold; "architecture" is what tells networks apart.
        tensors: by key.

    Raises:
        InputError: the suffix is another one.
        OutputError: the file cannot be written.
    """
    if Path(path).suffix.lower() != ".safetensors":
        raise InputError(f"path={str(path)!r} does not end in .safetensors")
    there = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    with atomic_write(Path(path)) as file:
        file.write(to_bytes(there, {METADATA: json.dumps(facts)}))


def own_facts(contents: Contents) -> dict[str, Any] | None:
    """Return what a file says of itself; None where it is not of this layout, nothing where it cannot be understood."""
    if METADATA not in contents.metadata:
        return None
    try:
        facts = json.loads(contents.metadata[METADATA])
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def unknown(contents: Contents, error: Exception) -> InputError:
    """Return the error for a file of ours that says what this version does not know."""
    return InputError(
        f"{contents.name} was written for another method or by another version of fastsr: {error!r} is unknown"
    )


def tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of JSON with tuples in place of lists, as configurations have them."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Return digits that are others for other tensors."""
    digest = hashlib.sha256()
    for key, tensor in tensors.items():
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
