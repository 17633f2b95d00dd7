"""The settings that every training has, and how settings are read from and written to YAML files."""

from __future__ import annotations

import difflib
import hashlib
import math
import os
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ..checks import input_error, spell
from ..errors import InputError, MissingFileError
from ..io.files import atomic_write
from ..options import scalar

PRECISIONS = ("float32", "bfloat16", "float16")
LOGGERS = ("tensorboard", "wandb")
DEVICES = ("cpu", "cuda")
MOST_READERS = 4
"""The maximum default number of processes that load images."""
PACKAGES = {"accelerate": "accelerate", "yaml": "pyyaml"}
"""The modules that training needs, and the package of each."""
YAML_TYPES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
"""The types of settings, as errors about a file describe them."""


def setting(default: Any, text: str, *, free: bool = False) -> Any:
    """Return a field for a dataclass of settings.

    Args:
        default: default value.
        text: help text.
        free: whether a run may resume with another value, because its results do not depend on it.
    """
    return field(default=default, metadata={"help": text, "free": free})


@dataclass(frozen=True)
class Settings:
    """The settings that every training has, each with its help text."""

    data: tuple[str, ...] = setting((), "Folder of training images, or an LMDB database; can be given several times.")
    val: str | None = setting(None, "Folder of a benchmark to validate on.  [default: none]", free=True)
    batch: int = setting(16, "Images per step, over all processes.")
    accumulate: int = setting(1, "Gradient accumulation steps per process.", free=True)
    precision: str = setting("float32", "float32, or mixed precision with bfloat16 or float16.")
    ema: float = setting(0.999, "EMA decay of the weights; 0 disables EMA.")
    seed: int = setting(0, "Random seed.")
    device: str | None = setting(None, "cpu or cuda.  [default: cuda when present]", free=True)
    workers: int | None = setting(
        None,
        f"Data loading processes per training process.  [default: its CPUs, at most {MOST_READERS}]",
        free=True,
    )
    log_every: int = setting(100, "Steps between log lines, each with the mean losses of these steps.", free=True)
    save_every: int = setting(1000, "Steps between checkpoints.", free=True)
    validate_every: int = setting(5000, "Steps between validations.", free=True)
    sample_every: int = setting(5000, "Steps between sheets of sample images.", free=True)
    logger: str | None = setting(
        None, "Logger besides the run folder: tensorboard or wandb.  [default: none]", free=True
    )

    def check(self) -> None:
        """Raise `InputError`, with the name of the setting, for a value that cannot be used."""
        if not self.data:
            raise InputError("data: no folder; give at least one folder of training images")
        for name, folders in (("data", self.data), ("val", (self.val,))):
            if "" in folders:
                raise input_error(name, "", "names no folder", "the current one is '.'")
        for name in ("batch", "accumulate", "log_every", "save_every", "validate_every", "sample_every"):
            at_least(self, name, 1)
        at_least(self, "seed", 0)
        if self.workers is not None:
            at_least(self, "workers", 0)
        if not 0 <= self.ema < 1:
            raise input_error("ema", self.ema, "cannot be used", "give a number from 0 to less than 1, such as 0.999")
        one_of(self, "precision", PRECISIONS)
        if self.device is not None:
            one_of(self, "device", DEVICES)
        if self.logger is not None:
            one_of(self, "logger", LOGGERS)

    @property
    def readers(self) -> int:
        """The number of data loading processes: `workers`, or this process's share of the CPUs."""
        if self.workers is not None:
            return self.workers
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(min(cpus // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), MOST_READERS), 1)

    def part(self, processes: int) -> int:
        """Return the number of images in a micro-batch, the part of a batch that a process works on at a time."""
        return self.batch // (processes * self.accumulate)

    def matters_from(self) -> Mapping[str, int]:
        """Return for settings that affect only later steps the number of steps before the first such step."""
        return {}


@dataclass(frozen=True)
class CropSettings(Settings):
    """The settings of methods that are trained to upscale, on crops of images."""

    factor: int = setting(4, "Scale factor.")
    crop: int = setting(96, "Side of the HR crops in pixels.")
    rate: float = setting(1e-4, "Learning rate.")
    init: str | None = setting(None, "Path or URL of initial weights.  [default: random]")

    def check(self) -> None:
        """Raise `InputError`, with the name of the setting, for a value that cannot be used."""
        super().check()
        at_least(self, "factor", 2)
        if self.crop < self.factor or self.crop % self.factor:
            advice = f"{spell('factor', self.factor)} needs a multiple of {self.factor}"
            raise input_error("crop", self.crop, "cannot be used", advice)
        if not 0 < self.rate < math.inf:
            raise input_error("rate", self.rate, "cannot be used", "give a number above 0, such as 1e-4")


def at_least(settings: Settings, name: str, least: float) -> None:
    """Raise `InputError` if a setting is less than `least`, or not a number (NaN)."""
    value = getattr(settings, name)
    if not value >= least:
        raise input_error(name, value, "cannot be used", f"give at least {least}")


def one_of(settings: Settings, name: str, choices: tuple[Any, ...]) -> None:
    """Raise `InputError` if a setting is not one of `choices`."""
    value = getattr(settings, name)
    if value not in choices:
        raise input_error(name, value, "is unknown", f"use one of {', '.join(map(str, choices))}")


def changes(before: Settings, now: Settings, done: int) -> list[str]:
    """Return the names of changed settings with which a run of `done` steps cannot resume."""
    old, new = asdict(before), asdict(now)
    begins = [each.matters_from() for each in (before, now)]
    different = [each for each in fields(now) if old[each.name] != new[each.name] and not each.metadata["free"]]
    return [each.name for each in different if done > min(steps.get(each.name, 0) for steps in begins)]


Kind = TypeVar("Kind", bound=Settings)


def read_settings(kind: type[Kind], path: Path | None, given: Mapping[str, Any]) -> Kind:
    """Return settings: the values `given`, otherwise those of the YAML file `path`, otherwise the defaults.

    Raises:
        MissingFileError: the file does not exist.
        InputError: the file cannot be read, or has an unknown setting or a value of the wrong type.
    """
    return kind(**{**({} if path is None else _read(kind, path)), **given})


def write_settings(settings: Settings, path: Path) -> None:
    """Write all settings to a YAML file for `read_settings`."""
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}
    with atomic_write(path) as file:
        file.write(yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode())


def _read(kind: type[Settings], path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(path.read_bytes())
    except FileNotFoundError as error:
        raise input_error(
            "config", str(path), "is not there", "give a YAML file of settings", kind=MissingFileError
        ) from error
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise input_error("config", str(path), f"cannot be read as YAML: {error}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise input_error("config", str(path), f"holds {type(loaded).__name__}", "give lines such as 'batch: 16'")
    hints = typing.get_type_hints(kind)
    names = [each.name for each in fields(kind)]
    values = {}
    for key, value in loaded.items():
        name = str(key).replace("-", "_")
        if name not in names:
            (near,) = difflib.get_close_matches(name, names, 1, 0)
            raise input_error("config", str(path), f"has {key!r}, which is not a setting", f"did you mean {near!r}?")
        values[name] = _convert(name, value, hints[name], path)
    return values


def _convert(name: str, value: Any, hint: Any, path: Path) -> Any:
    """Return a value from a YAML file in the type of its setting."""
    kind, several, optional = scalar(hint, name)
    if optional and value is None:
        return None
    if several:
        return tuple(_convert_scalar(name, one, kind, path) for one in (value if isinstance(value, list) else [value]))
    return _convert_scalar(name, value, kind, path)


def _convert_scalar(name: str, value: Any, kind: type, path: Path) -> Any:
    if kind is float and isinstance(value, str):  # YAML reads 1e-4, which has no decimal point, as text
        try:
            return float(value)
        except ValueError:
            pass
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise input_error("config", str(path), f"has {name}: {value!r}", f"give {YAML_TYPES[kind]}")
    return value


def require_packages() -> None:
    """Raise `InputError` if a package of the extra `train` is not installed."""
    for module, package in PACKAGES.items():
        if find_spec(module) is None:
            raise InputError(f"fastsr train needs {package}: pip install {package}")


def seed_of(*numbers: int) -> int:
    """Return a random seed from 0 to 2**63 - 1 that depends on all the numbers, such as seed, step and process."""
    digest = hashlib.blake2b(" ".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
