"""The settings that all training has, and what a setting is."""

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


def setting(default: Any, text: str, *, free: bool = False) -> Any:
    """Return a field of a dataclass of settings.

    Args:
        default: its value.
        text: of its help.
        free: whether a run may resume with another value, for its arithmetic does not depend on it.
    """
    return field(default=default, metadata={"help": text, "free": free})


@dataclass(frozen=True)
class Settings:
    """The settings that all training has; the help of each is with it."""

    data: tuple[str, ...] = setting((), "Folder of training images, or an LMDB database; can be given several times.")
    val: str | None = setting(None, "Folder of a benchmark to validate on.  [default: none]", free=True)
    batch: int = setting(16, "Pictures a step, over all processes.")
    accumulate: int = setting(1, "Parts one after the other in which a process works on a step.", free=True)
    precision: str = setting("float32", "float32, or mixed with bfloat16 or float16.")
    ema: float = setting(0.999, "How much of an average of the weights a step keeps; 0 for no average.")
    seed: int = setting(0, "Random seed.")
    device: str | None = setting(None, "cpu or cuda.  [default: cuda when present]", free=True)
    workers: int | None = setting(
        None,
        f"Processes that read images, for each that trains.  [default: its processors, at most {MOST_READERS}]",
        free=True,
    )
    log_every: int = setting(100, "Steps between lines of losses, each the mean over them.", free=True)
    save_every: int = setting(1000, "Steps between checkpoints.", free=True)
    validate_every: int = setting(5000, "Steps between validations.", free=True)
    sample_every: int = setting(5000, "Steps between sheets of sample pictures.", free=True)
    logger: str | None = setting(
        None, "Where losses go beside the run folder: tensorboard or wandb.  [default: nowhere else]", free=True
    )

    def check(self) -> None:
        """Raise `InputError` for a value that cannot be used, with the name of the setting."""
        if not self.data:
            raise InputError("data: no folder; give at least one of training images")
        for name, folders in (("data", self.data), ("val", (self.val,))):
            if "" in folders:
                raise InputError(f"{name}='' names no folder; the current one is '.'")
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
        """Processes that read images: `workers`, or this process's share of the processors."""
        if self.workers is not None:
            return self.workers
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(min(processors // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), MOST_READERS), 1)

    def part(self, processes: int) -> int:
        """Return how many images are in a part of a batch, on which a process of so many works at once."""
        return self.batch // (processes * self.accumulate)

    def matters_from(self) -> Mapping[str, int]:
        """For settings on which only later steps depend, the number of steps before the first such step."""
        return {}


@dataclass(frozen=True)
class CropSettings(Settings):
    """Those of methods that learn from crops of images to upscale pictures."""

    factor: int = setting(4, "How many times larger each side becomes.")
    crop: int = setting(96, "Side of the HR crops in pixels.")
    rate: float = setting(1e-4, "Learning rate.")
    init: str | None = setting(None, "Path or URL of weights to begin with.  [default: random ones]")

    def check(self) -> None:
        """Raise `InputError` for a value that cannot be used, with the name of the setting."""
        super().check()
        at_least(self, "factor", 2)
        if self.crop < self.factor or self.crop % self.factor:
            raise input_error(
                "crop", self.crop, "cannot be used", f"{spell('factor', self.factor)} needs a multiple of {self.factor}"
            )
        if not 0 < self.rate < math.inf:
            raise input_error("rate", self.rate, "cannot be used", "give a number above 0, such as 1e-4")


def at_least(settings: Settings, name: str, least: float) -> None:
    """Raise `InputError` where a setting is less than `least`."""
    value = getattr(settings, name)
    if not value >= least:
        raise InputError(f"{name}={value} cannot be used; give at least {least}")


def one_of(settings: Settings, name: str, choices: tuple[Any, ...]) -> None:
    """Raise `InputError` where a setting is none of `choices`."""
    value = getattr(settings, name)
    if value not in choices:
        raise input_error(name, value, "is unknown", f"use one of {', '.join(map(str, choices))}")


def changes(before: Settings, now: Settings, done: int) -> list[str]:
    """Return the names of the settings that keep a run of `done` steps from going on, for they were others."""
    old, new = asdict(before), asdict(now)
    begins = [each.matters_from() for each in (before, now)]
    different = [each for each in fields(now) if old[each.name] != new[each.name] and not each.metadata["free"]]
    return [each.name for each in different if done > min(steps.get(each.name, 0) for steps in begins)]


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
        raise input_error(
            "config", str(path), "is not there", "give a YAML file of settings", kind=MissingFileError
        ) from error
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise input_error("config", str(path), f"cannot be read as YAML: {error}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise input_error("config", str(path), f"holds {type(found).__name__}", "give lines such as 'batch: 16'")
    hints = typing.get_type_hints(kind)
    names = [each.name for each in fields(kind)]
    values = {}
    for key, value in found.items():
        name = str(key).replace("-", "_")
        if name not in names:
            near = difflib.get_close_matches(name, names, 1, 0)
            raise input_error("config", str(path), f"has {key!r}, which is no setting", f"did you mean {near[0]!r}?")
        values[name] = _value(name, value, hints[name], path)
    return values


def _value(name: str, value: Any, hint: Any, path: Path) -> Any:
    """Return the value of a setting, of the type that it has."""
    kind, several, optional, _ = scalar(hint, name)
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
        raise input_error("config", str(path), f"has {name}: {value!r}", f"give {NAMES[kind]}")
    return value


PACKAGES = {"accelerate": "accelerate", "yaml": "pyyaml"}
"""For each module the name to install it by."""


def require_packages() -> None:
    """Raise `InputError` where a package is missing of the extra `train`."""
    for module, package in PACKAGES.items():
        if find_spec(module) is None:
            raise InputError(f"fastsr train needs {package}: pip install {package}")


def seed_of(*numbers: int) -> int:
    """Return a seed for the random numbers of something that has these numbers, from 0 to 2**63 - 1."""
    digest = hashlib.blake2b(" ".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
