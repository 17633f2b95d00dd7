"""The settings that all training has, and what a setting is."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..errors import InputError

PRECISIONS = ("float32", "bfloat16", "float16")
LOGGERS = ("tensorboard", "wandb")
DEVICES = ("cpu", "cuda")
MOST_READERS = 4


def setting(default: Any, text: str, *, free: bool = False) -> Any:
    """Return a field of a dataclass of settings.

    Args:
        default: its value.
        text: of its help.
        free: whether a run may go on with another value, for its arithmetic does not depend on it.
    """
    return field(default=default, metadata={"help": text, "free": free})


@dataclass(frozen=True)
class Settings:
    """The settings that all training has; the help of each is with it."""

    data: tuple[str, ...] = setting((), "Folder of training pictures, or an LMDB database; can be given several times.")
    val: str | None = setting(None, "Folder of a benchmark to validate on.  [default: none]", free=True)
    batch: int = setting(16, "Pictures a step, over all processes.")
    accumulate: int = setting(1, "Parts one after the other in which a process works on a step.", free=True)
    precision: str = setting("float32", "float32, or mixed with bfloat16 or float16.")
    ema: float = setting(0.999, "How much of an average of the weights a step keeps; 0 for no average.")
    seed: int = setting(0, "Of all that is random.")
    device: str | None = setting(None, "cpu or cuda.  [default: cuda when present]", free=True)
    workers: int | None = setting(
        None,
        f"Processes that read pictures, for each that trains.  [default: its processors, at most {MOST_READERS}]",
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
            raise InputError("data: no folder; give at least one of training pictures")
        for name, folders in (("data", self.data), ("val", (self.val,))):
            if "" in folders:
                raise InputError(f"{name}='' names no folder; the current one is '.'")
        for name in ("batch", "accumulate", "log_every", "save_every", "validate_every", "sample_every"):
            at_least(self, name, 1)
        at_least(self, "seed", 0)
        if self.workers is not None:
            at_least(self, "workers", 0)
        if not 0 <= self.ema < 1:
            raise InputError(f"ema={self.ema} cannot be used; give a number from 0 to less than 1, such as 0.999")
        one_of(self, "precision", PRECISIONS)
        if self.device is not None:
            one_of(self, "device", DEVICES)
        if self.logger is not None:
            one_of(self, "logger", LOGGERS)

    @property
    def readers(self) -> int:
        """Processes that read pictures: `workers`, or this process's share of the processors."""
        if self.workers is not None:
            return self.workers
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(min(processors // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), MOST_READERS), 1)

    def part(self, processes: int) -> int:
        """Return how many pictures are in a part of a batch, on which a process of so many works at once."""
        return self.batch // (processes * self.accumulate)

    def matters_from(self) -> Mapping[str, int]:
        """For settings on which only later steps depend, the number of steps before the first such step."""
        return {}


@dataclass(frozen=True)
class CropSettings(Settings):
    """Those of methods that learn from crops of pictures to enlarge pictures."""

    factor: int = setting(4, "How many times larger each side becomes.")
    crop: int = setting(96, "Side of the HR crops in pixels.")
    rate: float = setting(1e-4, "Learning rate.")
    init: str | None = setting(None, "Path or URL of weights to begin with.  [default: random ones]")

    def check(self) -> None:
        """Raise `InputError` for a value that cannot be used, with the name of the setting."""
        super().check()
        at_least(self, "factor", 2)
        if self.crop < self.factor or self.crop % self.factor:
            raise InputError(f"crop={self.crop} cannot be used; factor={self.factor} needs a multiple of {self.factor}")
        if not 0 < self.rate < math.inf:
            raise InputError(f"rate={self.rate} cannot be used; give a number above 0, such as 1e-4")


def at_least(settings: Settings, name: str, least: float) -> None:
    """Raise `InputError` where a setting is less than `least`."""
    value = getattr(settings, name)
    if not value >= least:
        raise InputError(f"{name}={value} cannot be used; give at least {least}")


def one_of(settings: Settings, name: str, choices: tuple[Any, ...]) -> None:
    """Raise `InputError` where a setting is none of `choices`."""
    value = getattr(settings, name)
    if value not in choices:
        raise InputError(f"{name}={value!r} is unknown; use one of {', '.join(map(str, choices))}")


def changes(before: Settings, now: Settings, done: int) -> list[str]:
    """Return the names of the settings that keep a run of `done` steps from going on, for they were others."""
    old, new = asdict(before), asdict(now)
    begins = [each.matters_from() for each in (before, now)]
    different = [each for each in fields(now) if old[each.name] != new[each.name] and not each.metadata["free"]]
    return [each.name for each in different if done > min(steps.get(each.name, 0) for steps in begins)]
