"""The folder of an evaluation: settings, and for every picture done the pictures and then the row."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..errors import InputError, OutputError
from ..files import prepare_folder
from ..settings_file import read_json, require_same, write_json
from .table import Row

BICUBIC, REFERENCE = "bicubic", "hr"
"""What there is of a picture beside the result."""
KINDS = ("", BICUBIC, REFERENCE)


@dataclass(frozen=True)
class Settings:
    """What the rows of a folder have in common.

    Attributes:
        method: its name.
        options: the method's own.
        factor: how much larger results are.
        protocol: its name.
        dataset: the name of the benchmark.
        data: its folder.
        details: what `Method.details` says of method and options.
    """

    method: str
    options: Mapping[str, Any]
    factor: int
    protocol: str
    dataset: str
    data: str
    details: str


@dataclass(frozen=True)
class Machine:
    """Where a row was made: the version of fastsr, the device's name, the threads of the CPU."""

    fastsr: str
    device: str
    threads: int

    @classmethod
    def here(cls, device: torch.device) -> Machine:
        """Return what this process computes on."""
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"
        return cls(__version__, name, torch.get_num_threads())


class Folder:
    """Settings, rows and pictures on disk.

    A row is written after its pictures, each file whole or not at all: a picture that has a row is done.
    """

    def __init__(self, path: Path):
        self.path = path
        self._settings = path / "settings.json"
        self._rows = path / "rows"
        self._pictures = path / "pictures"

    def open(self, settings: Settings, machine: Machine) -> None:
        """Begin in this folder, or go on in it with the same settings.

        Raises:
            InputError: it has rows that were made with other settings.
            OutputError: nothing can be written in it.
        """
        if any(self._rows.glob("*.json")):
            require_same(self._settings, asdict(settings), self.path, "holds an evaluation")
        for folder in (self.path, self._rows, self._pictures):
            prepare_folder(folder)
        if not any(self._rows.glob("*.json")):
            write_json(self._settings, {**asdict(settings), **asdict(machine)})

    def picture(self, name: str, kind: str = "") -> Path:
        """Return the file of the result on the picture `name`, or of `BICUBIC` or `REFERENCE` of it."""
        return self._pictures / (f"{name}_{kind}.png" if kind else f"{name}.png")

    def write_row(self, row: Row, machine: Machine) -> None:
        """Say that a picture is done; infinity is written as "inf", for JSON has no number for it."""
        values = {name: "inf" if value == float("inf") else value for name, value in asdict(row).items()}
        write_json(self._row(row.image), {**values, **asdict(machine)})

    def row(self, name: str) -> Row | None:
        """Return the row of a picture, or None where it is not done: its row or a picture is missing or damaged.

        Raises:
            OutputError: a file that is to have its name cannot have it.
        """
        paths = [self._row(name), *map(partial(self.picture, name), KINDS)]
        try:
            there = [path.exists() for path in paths]
        except OSError as error:
            raise OutputError(f"{str(error.filename)!r} cannot be written: {error.strerror}") from error
        if not all(there):
            return None
        try:
            found = read_json(self._row(name))
            numbers = {key: float(found[key]) for key in ("psnr_y", "psnr_rgb", "ssim", "lr_psnr", "seconds")}
            return Row(image=name, width=found["width"], height=found["height"], **numbers)
        except (InputError, KeyError, TypeError, ValueError):
            return None

    def _row(self, name: str) -> Path:
        return self._rows / f"{name}.json"
