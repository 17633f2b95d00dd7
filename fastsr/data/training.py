"""Which pictures a network is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..codecs import is_folder
from ..errors import InputError
from .benchmarks import FACTOR_AT_END, HR_FOLDER, LR_FOLDER, find_benchmark
from .lmdb import SUFFIX, Record, find_records, is_database
from .numbered import find_squares, is_numbered
from .pictures import PictureFile, StoredPicture

PART = "_sub"
"""What BasicSR has at the end of the names of databases of cut pictures."""


@dataclass(frozen=True)
class TrainingPicture:
    """A picture to train on; `lr` is None where it is to be made of crops of `hr`."""

    hr: StoredPicture
    lr: StoredPicture | None

    def sides(self, factor: int) -> list[tuple[int, int]]:
        """Return the sides of the HR and, where there is one, of the LR picture, as `StoredPicture.sides` does.

        Raises:
            InputError: one cannot be read, or they do not belong together, as far as it is known without decoding.
        """
        sides = [stored.sides() for stored in self._stored]
        if self.lr is not None and not _belong(sides[0], sides[1][::-1], factor):  # one may be turned upright later
            self._check(sides, factor)
        return sides

    def read(self, factor: int) -> list[Tensor]:
        """Return the HR and, where there is one, the LR picture, uint8 (3, H, W) and (3, H / factor, W / factor).

        Raises:
            InputError: one cannot be read, or their sizes do not belong together.
        """
        pictures = [stored.read() for stored in self._stored]
        self._check([(picture.shape[1], picture.shape[2]) for picture in pictures], factor)
        return pictures

    @property
    def _stored(self) -> list[StoredPicture]:
        return [self.hr] if self.lr is None else [self.hr, self.lr]

    def _check(self, sides: Sequence[tuple[int, int]], factor: int) -> None:
        if self.lr is None:
            return
        (height, width), small = sides
        if not _belong((height, width), small, factor):
            raise InputError(
                f"{self.lr.label} is {small[1]}x{small[0]} pixels, and {self.hr.label} of {width}x{height} needs "
                f"{width // factor}x{height // factor} at factor={factor}"
            )


def find_training_pictures(folders: Sequence[str | Path], factor: int | None) -> list[TrainingPicture]:
    """Return the pictures of some folders, in the order of the folders and of their names.

    Each folder is one of

    - what `find_benchmark` takes: pictures, or HR beside LR, such as DIV2K_train_HR and DIV2K_train_LR_bicubic/X4, or
      hr_128 and lr_16;
    - an LMDB database of HR pictures, as `fastsr prepare` and BasicSR write them;
    - a folder of databases: HR.lmdb, and LR_bicubic_X4.lmdb or another that ends in the factor. Their names are as
      those of folders; _sub may follow;
    - an LMDB database of squares, as `fastsr prepare` writes it for two sizes, or a folder that holds just this one.

    LR files are taken where there are any, unless `factor` is None. Then all folders must have them at this factor: LR
    files may have been made otherwise than LR made on the fly is.

    Raises:
        MissingFileError: there is no such folder.
        InputError: no folder was given; a folder holds no picture, or HR and LR that do not belong together; or some
            folders have LR files and others have not.
    """
    if not folders:
        raise InputError("data: no folder; give at least one of training pictures")
    found = {str(folder): _find(Path(folder), factor) for folder in folders}
    with_lr = [folder for folder, pictures in found.items() if pictures[0].lr is not None]
    without = [folder for folder in found if folder not in with_lr]
    if with_lr and without:
        raise InputError(
            f"data={with_lr[0]!r} has LR files of factor={factor} and data={without[0]!r} has none; give folders that "
            "all have them, or the folder of HR pictures itself for LR made on the fly"
        )
    return [picture for pictures in found.values() for picture in pictures]


def _belong(hr: tuple[int, int], lr: tuple[int, int], factor: int) -> bool:
    """Whether an LR picture has the sides of its HR picture over `factor`, rounded down."""
    return lr == (hr[0] // factor, hr[1] // factor)


def _find(folder: Path, factor: int | None) -> list[TrainingPicture]:
    if not is_folder(folder, f"data={str(folder)!r}"):
        raise InputError(f"data={str(folder)!r} is a file; give a folder of training pictures")
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
    """Pair the records of the database of HR pictures with those of the one of LR pictures, if there is one."""
    names = {path: path.name.removesuffix(SUFFIX).removesuffix(PART) for path in databases}
    references = [path for path, name in names.items() if HR_FOLDER.fullmatch(name)]
    inputs = [
        path
        for path, name in names.items()
        if LR_FOLDER.fullmatch(name) and (end := FACTOR_AT_END.search(name)) and int(end[1]) == factor
    ]
    if len(references) != 1 or len(inputs) > 1:
        there = ", ".join(path.name for path in databases)
        raise InputError(
            f"data={str(folder)!r} holds {there}; give a folder with one database of HR pictures and at most one of "
            f"LR x{factor}, or the former itself"
        )
    hr = find_records(references[0])
    lr: dict[str, Record] = find_records(inputs[0]) if inputs else {}
    if lr and (lonely := sorted(hr.keys() ^ lr.keys())):
        missing = inputs[0] if lonely[0] in hr else references[0]
        raise InputError(f"data: {str(missing)!r} has no picture {lonely[0]!r}, which the other of HR and LR has")
    return [TrainingPicture(record, lr.get(name)) for name, record in hr.items()]
