"""Settings in a YAML file, and from there and the command line together."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ..errors import InputError, MissingFileError
from ..files import atomic_write
from ..options import scalar
from .settings import Settings

Kind = TypeVar("Kind", bound=Settings)

NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def read_settings(kind: type[Kind], path: Path | None, given: Mapping[str, Any]) -> Kind:
    """Return settings: those `given`, else those of the file `path`, else the defaults.

    Raises:
        MissingFileError: there is no such file.
        InputError: it cannot be read, names a setting that there is not, or one has a value of another type.
    """
    return kind(**{**({} if path is None else _read(kind, path)), **given})


def write_settings(settings: Settings, path: Path) -> None:
    """Write all settings to a file that `read_settings` reads."""
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}
    with atomic_write(path) as file:
        file.write(yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode())


def _read(kind: type[Settings], path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_bytes())
    except FileNotFoundError as error:
        raise MissingFileError(f"config={str(path)!r} is not there; give a YAML file of settings") from error
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"config={str(path)!r} cannot be read as YAML: {error}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InputError(f"config={str(path)!r} holds {type(found).__name__}; give lines such as 'batch: 16'")
    hints = typing.get_type_hints(kind)
    names = [each.name for each in fields(kind)]
    values = {}
    for key, value in found.items():
        name = str(key).replace("-", "_")
        if name not in names:
            near = difflib.get_close_matches(name, names, 1, 0)
            raise InputError(f"config={str(path)!r} has {key!r}, which is no setting; did you mean {near[0]!r}?")
        values[name] = _value(name, value, hints[name], path)
    return values


def _value(name: str, value: Any, hint: Any, path: Path) -> Any:
    """Return the value of a setting, of the type that it has."""
    kind, several, optional = scalar(hint, name)
    if optional and value is None:
        return None
    if several:
        return tuple(_one(name, one, kind, path) for one in (value if isinstance(value, list) else [value]))
    return _one(name, value, kind, path)


def _one(name: str, value: Any, kind: type, path: Path) -> Any:
    if kind is float and isinstance(value, str):  # YAML takes 1e-4, which has no point, for text
        try:
            return float(value)
        except ValueError:
            pass
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise InputError(f"config={str(path)!r} has {name}: {value!r}; give {NAMES[kind]}")
    return value
