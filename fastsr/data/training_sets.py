"""Which images a network is trained on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from ..checks import input_error, spell
from ..errors import InputError
from ..io.files import is_folder
from ..runtime.memory import available_memory
from .benchmarks import FACTOR_AT_END, HR_FOLDER, LR_FOLDER, find_benchmark
from .lmdb import SUFFIX, Record, find_records, is_database
from .stored_images import PictureFile, StoredPicture
from .stores import find_squares, is_numbered

PART = "_sub"
"""What BasicSR has at the end of the names of databases of cut pictures."""


@dataclass(frozen=True)
class TrainingPicture:
    """An image to train on; `lr` is None where it is to be made of crops of `hr`."""

    hr: StoredPicture
    lr: StoredPicture | None

    def sides(self, factor: int) -> list[tuple[int, int]]:
        """Return the sides of the HR and, where there is one, of the LR image, as `StoredPicture.sides` does.

        Raises:
            InputError: one cannot be read, or they do not belong together, as far as it is known without decoding.
        """
        sides = [stored.sides() for stored in self._stored]
        if self.lr is not None and not _belong(sides[0], sides[1][::-1], factor):  # one may be turned upright later
            self._check(sides, factor)
        return sides

    def read(self, factor: int) -> list[Tensor]:
        """Return the HR and, where there is one, the LR image, uint8 (3, H, W) and (3, H / factor, W / factor).

        Raises:
            InputError: one cannot be read, or their sizes do not belong together.
        """
        images = [stored.read() for stored in self._stored]
        self._check([(image.shape[1], image.shape[2]) for image in images], factor)
        return images

    @property
    def _stored(self) -> list[StoredPicture]:
        return [self.hr] if self.lr is None else [self.hr, self.lr]

    def _check(self, sides: Sequence[tuple[int, int]], factor: int) -> None:
        if self.lr is None:
            return
        (height, width), small = sides
        if not _belong((height, width), small, factor):
            raise InputError(
                f"{self.lr.label} is {small[1]}x{small[0]} pixels, and {self.hr.label} of {width}x{height}"
                f" needs {width // factor}x{height // factor} at {spell('factor', factor)}"
            )


def find_training_pictures(folders: Sequence[str | Path], factor: int | None) -> list[TrainingPicture]:
    """Return the images of some folders, in the order of the folders and of their names.

    Each folder is one of

    - what `find_benchmark` takes: images, or HR beside LR, such as DIV2K_train_HR and DIV2K_train_LR_bicubic/X4, or
      hr_128 and lr_16;
    - an LMDB database of HR images, as `fastsr prepare` and BasicSR write them;
    - a folder of databases: HR.lmdb, and LR_bicubic_X4.lmdb or another that ends in the factor. Their names are as
      those of folders; _sub may follow;
    - an LMDB database of squares, as `fastsr prepare` writes it for two sizes, or a folder that holds just this one.

    LR files are taken where there are any, unless `factor` is None. Then all folders must have them at this factor: LR
    files may have been made otherwise than LR made on the fly is.

    Raises:
        MissingFileError: there is no such folder.
        InputError: no folder was given; a folder holds no image, or HR and LR that do not belong together; or some
            folders have LR files and others have not.
    """
    if not folders:
        raise InputError("data: no folder; give at least one of training images")
    found = {str(folder): _find(Path(folder), factor) for folder in folders}
    with_lr = [folder for folder, images in found.items() if images[0].lr is not None]
    without = [folder for folder in found if folder not in with_lr]
    if with_lr and without:
        raise input_error(
            "data",
            with_lr[0],
            f"has LR files of {spell('factor', factor)} and {spell('data', without[0])} has none",
            ("give folders that all have them, or the folder of HR images itself for LR made on the fly"),
        )
    return [image for images in found.values() for image in images]


def _belong(hr: tuple[int, int], lr: tuple[int, int], factor: int) -> bool:
    """Whether an LR image has the sides of its HR image over `factor`, rounded down."""
    return lr == (hr[0] // factor, hr[1] // factor)


def _find(folder: Path, factor: int | None) -> list[TrainingPicture]:
    if not is_folder(folder, f"{spell('data', str(folder))}"):
        raise input_error("data", str(folder), "is a file", "give a folder of training images")
    if is_database(folder) and is_numbered(folder):
        return _squares(folder, factor)
    if is_database(folder):
        return [TrainingPicture(record, None) for record in find_records(folder).values()]
    databases = sorted(entry for entry in folder.glob(f"*{SUFFIX}") if is_database(entry))
    if len(databases) == 1 and is_numbered(databases[0]):
        return _squares(databases[0], factor)
    if databases:
        return _pairs(folder, databases, factor)
    samples = find_benchmark(folder, factor).samples
    return [TrainingPicture(PictureFile(s.hr), None if s.lr is None else PictureFile(s.lr)) for s in samples]


def _squares(folder: Path, factor: int | None) -> list[TrainingPicture]:
    return [TrainingPicture(hr, lr) for hr, lr in find_squares(folder, factor)]


def _pairs(folder: Path, databases: Sequence[Path], factor: int | None) -> list[TrainingPicture]:
    """Pair the records of the database of HR images with those of the one of LR images, if there is one."""
    names = {path: path.name.removesuffix(SUFFIX).removesuffix(PART) for path in databases}
    references = [path for path, name in names.items() if HR_FOLDER.fullmatch(name)]
    inputs = [
        path
        for path, name in names.items()
        if LR_FOLDER.fullmatch(name) and (end := FACTOR_AT_END.search(name)) and int(end[1]) == factor
    ]
    if len(references) != 1 or len(inputs) > 1:
        there = ", ".join(path.name for path in databases)
        raise input_error(
            "data",
            str(folder),
            f"holds {there}",
            (f"give a folder with one database of HR images and at most one of LR x{factor}, or the former itself"),
        )
    hr = find_records(references[0])
    lr: dict[str, Record] = find_records(inputs[0]) if inputs else {}
    if lr and (lonely := sorted(hr.keys() ^ lr.keys())):
        missing = inputs[0] if lonely[0] in hr else references[0]
        raise InputError(f"data: {str(missing)!r} has no image {lonely[0]!r}, which the other of HR and LR has")
    return [TrainingPicture(record, lr.get(name)) for name, record in hr.items()]


SHARE = 0.25
"""Of the memory that is available."""
ASSUMED = 4 * 2**30
"""Bytes available, where the system does not say."""
CHANNELS = 3

Sides = Sequence[tuple[int, int]]


def memory_for_pictures() -> int:
    """Return the bytes that this process may fill with images; those that torchrun started share the machine."""
    available = available_memory(torch.device("cpu")) or ASSUMED
    return int(SHARE * available) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def bytes_of(sides: Sequence[Sides]) -> int:
    """Return the bytes that images take, given the sides of each one's parts."""
    return sum(map(_bytes, sides))


class DecodedImageCache:
    """Pictures by number, as `TrainingPicture.read` gives them.

    All are in one tensor, which forked processes share, and others can be given without a copy for each.
    """

    def __init__(self, pictures: Sequence[TrainingPicture], sides: Sequence[Sides], factor: int):
        """Decode all images, each in the room that `sides`, of its parts, ask for.

        Raises:
            FastsrError: an image cannot be read.
        """
        self._starts = [0, *accumulate(map(_bytes, sides))]
        self._memory = torch.empty(self._starts[-1], dtype=torch.uint8)

        def decode(number: int) -> list[tuple[int, int]]:
            parts = pictures[number].read(factor)
            torch.cat([part.reshape(-1) for part in parts], out=self._room(number))
            return [(part.shape[1], part.shape[2]) for part in parts]  # the header may have had them swapped

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            self._sides = list(threads.map(decode, range(len(pictures))))

    def __getitem__(self, number: int) -> list[Tensor]:
        lengths = [CHANNELS * prod(pair) for pair in self._sides[number]]
        parts = self._room(number).split(lengths)
        return [part.view(CHANNELS, *pair) for part, pair in zip(parts, self._sides[number], strict=True)]

    def _room(self, number: int) -> Tensor:
        return self._memory[self._starts[number] : self._starts[number + 1]]


def _bytes(sides: Sides) -> int:
    return sum(CHANNELS * prod(pair) for pair in sides)
