"""The folder of an evaluation: its settings, and for each finished image the image files and the row."""

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
from ..io.files import prepare_folder, read_json, require_same, write_json
from .table import Row

BICUBIC, REFERENCE = "bicubic", "hr"
"""The other image files of a sample, beside the result."""
KINDS = ("", BICUBIC, REFERENCE)


@dataclass(frozen=True)
class Settings:
    """The settings that all rows of a folder have in common.

    Attributes:
        method: name of the method.
        options: options of the method.
        factor: upscaling factor.
        protocol: name of the protocol.
        dataset: name of the benchmark.
        data: folder of the benchmark.
        details: the text of `Method.details`.
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
    """The machine of a row: the version of fastsr, the name of the device, the number of CPU threads."""

    fastsr: str
    device: str
    threads: int

    @classmethod
    def here(cls, device: torch.device) -> Machine:
        """Return the machine of this process."""
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"
        return cls(__version__, name, torch.get_num_threads())


class Folder:
    """Settings, rows and image files on disk.

    A row is written after its image files, each file atomically: an image that has a row is done.
    """

    def __init__(self, path: Path):
        self.path = path
        self._settings = path / "settings.json"
        self._rows = path / "rows"
        self._pictures = path / "pictures"

    def open(self, settings: Settings, machine: Machine) -> None:
        """Start an evaluation in this folder, or resume one with the same settings.

        Raises:
            InputError: it has rows of other settings.
            OutputError: it cannot be written to.
        """
        if any(self._rows.glob("*.json")):
            require_same(self._settings, asdict(settings), self.path, "holds an evaluation")
        for folder in (self.path, self._rows, self._pictures):
            prepare_folder(folder)
        if not any(self._rows.glob("*.json")):
            write_json(self._settings, {**asdict(settings), **asdict(machine)})

    def picture(self, name: str, kind: str = "") -> Path:
        """Return the file of the result for the image `name`, or that of its `BICUBIC` or `REFERENCE`."""
        return self._pictures / (f"{name}_{kind}.png" if kind else f"{name}.png")

    def write_row(self, row: Row, machine: Machine) -> None:
        """Write the row of a finished image; infinity is written as "inf", for JSON has no number for it."""
        values = {name: "inf" if value == float("inf") else value for name, value in asdict(row).items()}
        write_json(self._row(row.image), {**values, **asdict(machine)})

    def row(self, name: str) -> Row | None:
        """Return the row of an image, or None if it is not done: the row or an image file is missing or damaged.

        Raises:
            OutputError: the file system does not allow one of the file names.
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
