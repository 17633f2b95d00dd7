"""Benchmark folders: which pictures a folder holds, and which low-resolution files belong to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ..codecs import is_folder
from ..errors import InputError
from ..files import find_images
from .sizes import find_sides, hr_part, lr_part

SELF_EX_SR = re.compile(r"image_SRF_(\d+)")
AUTHORS_CHOICE = 4  # of SelfExSR: the folder whose HR files stand for the data set
HR_FOLDER = re.compile(r"(hr|gt|gtmod\d*|.+_hr)", re.IGNORECASE)
LR_FOLDER = re.compile(r"(lr.*|.+_lr(_.+)?)", re.IGNORECASE)
FACTOR_AT_END = re.compile(r"_?x(\d+)$", re.IGNORECASE)
SHOWN_NAMES = 20


@dataclass(frozen=True)
class Sample:
    """One picture of a benchmark.

    Attributes:
        name: what tables call it; unique in its benchmark.
        hr: the file of the reference.
        lr: the file of the input; None where it is to be made.
        border: what lay outside the picture for the resize that made `lr`, see `fastsr.resize`.
    """

    name: str
    hr: Path
    lr: Path | None
    border: str = "symmetric"


@dataclass(frozen=True)
class Benchmark:
    """The pictures of a folder, sorted by name; `name` is the data set's."""

    name: str
    folder: Path
    samples: tuple[Sample, ...]


def find_benchmark(folder: str | Path, factor: int | None) -> Benchmark:
    """Return the pictures of a folder and, where it holds them, their inputs at 1 / `factor` of the size.

    None as factor leaves inputs alone. The folder is one of

    - SelfExSR's: image_SRF_4/img_001_SRF_4_HR.png and img_001_SRF_4_LR.png, or image_SRF_4 itself. Without a folder
      for `factor` the HR files of another one are taken, image_SRF_4 if it is there;
    - pairs: a folder HR, GT, GTmod12 or DIV2K_valid_HR, and beside it LR, LRbicx4 or DIV2K_valid_LR_bicubic, which may
      have X4 inside. LR files are called as the HR files, or with x4 added;
    - squares: a folder hr_128, and beside it lr_16, with files of the same names; sr_16_128 is left alone;
    - just pictures.

    Raises:
        MissingFileError: there is no such folder.
        InputError: it holds no pictures, squares of other sizes than belong together at `factor`, HR and LR files that
            do not belong together, or it is not clear which do.
    """
    folder = Path(folder)
    if not is_folder(folder, f"data={str(folder)!r}"):
        raise InputError(f"data={str(folder)!r} is a file; give the folder of a benchmark")
    folder = folder.resolve()
    name, samples = _self_ex_sr(folder, factor) or _squares(folder, factor) or _pairs(folder, factor) or _plain(folder)
    by_name: dict[str, Sample] = {}
    for sample in samples:
        other = by_name.setdefault(sample.name, sample)
        if other is not sample:
            raise InputError(
                f"data={str(folder)!r} has two pictures {sample.name!r}: {other.hr.name}, {sample.hr.name}"
            )
    return Benchmark(name, folder, tuple(by_name[key] for key in sorted(by_name)))


def select(samples: Sequence[Sample], images: str | Iterable[str] | None) -> list[Sample]:
    """Return the samples that `images` names, in their order; None names all.

    Each of `images` is a name, a pattern such as 'img_00*', or several of them with commas between.

    Raises:
        InputError: one of them names no picture.
    """
    if images is None:
        return list(samples)
    names = [sample.name for sample in samples]
    chosen = set()
    entries = [images] if isinstance(images, str) else images
    parts = (part for entry in entries for part in ([entry] if entry in names else map(str.strip, entry.split(","))))
    for pattern in parts:
        matches = [pattern] if pattern in names else [name for name in names if fnmatchcase(name, pattern)]
        if not matches:
            more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
            raise InputError(f"images={pattern!r} names no picture; there are {', '.join(names[:SHOWN_NAMES])}{more}")
        chosen.update(matches)
    return [sample for sample in samples if sample.name in chosen]


def _self_ex_sr(folder: Path, factor: int | None) -> tuple[str, list[Sample]] | None:
    """A folder image_SRF_N, or one that holds such folders."""
    if SELF_EX_SR.fullmatch(folder.name):
        return folder.parent.name, _self_ex_sr_samples(folder, factor)
    found = {int(match[1]): entry for entry in folder.iterdir() if (match := SELF_EX_SR.fullmatch(entry.name))}
    if not found:
        return None
    chosen = next((n for n in (factor, AUTHORS_CHOICE) if n in found), min(found))
    return folder.name, _self_ex_sr_samples(found[chosen], factor)


def _self_ex_sr_samples(folder: Path, factor: int | None) -> list[Sample]:
    own = folder.name.removeprefix("image_SRF_")
    hr, lr = (
        {path.stem.removesuffix(f"_SRF_{own}_{kind}"): path for path in folder.glob(f"*_SRF_{own}_{kind}.png")}
        for kind in ("HR", "LR")
    )
    if not hr:
        raise InputError(f"data: {str(folder)!r} holds no *_SRF_{own}_HR.png")
    # These files were made by a MATLAB whose imresize still replicated the border.
    return _paired(hr, lr if int(own) == factor else {}, "replicate")


def _squares(folder: Path, factor: int | None) -> tuple[str, list[Sample]] | None:
    """A folder that holds one of HR squares, called by their side, and perhaps one of LR squares."""
    sides = find_sides([entry.name for entry in folder.iterdir() if entry.is_dir()], factor, folder)
    if sides is None:
        return None
    high, low = sides
    return folder.name, _paired(
        _by_stem(folder / hr_part(high)), {} if low is None else _by_stem(folder / lr_part(low))
    )


def _pairs(folder: Path, factor: int | None) -> tuple[str, list[Sample]] | None:
    """A folder that holds one of HR and one of LR pictures."""
    inside = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    references = [entry for entry in inside if HR_FOLDER.fullmatch(entry.name)]
    inputs = [entry for entry in inside if LR_FOLDER.fullmatch(entry.name)]
    if not references:
        return None
    bicubic = [entry for entry in inputs if "bic" in entry.name.lower()]
    reference = _only(references, "HR", folder)
    at_factor = [] if factor is None else [found for entry in bicubic or inputs if (found := _at_factor(entry, factor))]
    if not at_factor:
        return folder.name, _paired(_by_stem(reference), {})
    hr = _by_stem(reference)
    lr: dict[str, Path] = {}
    for path in find_images([_only(at_factor, f"LR x{factor}", folder)]):
        name = path.stem if path.stem in hr else FACTOR_AT_END.sub("", path.stem)
        _add(lr, name, path)
    return folder.name, _paired(hr, lr)


def _at_factor(folder: Path, factor: int) -> Path | None:
    """Return where in an LR folder, or whether, the files for `factor` are."""
    named = FACTOR_AT_END.search(folder.name)
    if named:
        return folder if int(named[1]) == factor else None
    inside = {int(match[1]): entry for entry in folder.iterdir() if (match := FACTOR_AT_END.fullmatch(entry.name))}
    return inside.get(factor) if inside else folder


def _only(folders: Sequence[Path], what: str, parent: Path) -> Path:
    if len(folders) > 1:
        names = ", ".join(entry.name for entry in folders)
        raise InputError(
            f"data={str(parent)!r} has several folders of {what} pictures: {names}; give one of HR pictures itself"
        )
    return folders[0]


def _plain(folder: Path) -> tuple[str, list[Sample]]:
    """A folder of pictures."""
    return folder.name, [Sample(path.stem, path, None) for path in find_images([folder])]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in find_images([folder]):
        _add(found, path.stem, path)
    return found


def _add(found: dict[str, Path], name: str, path: Path) -> None:
    other = found.setdefault(name, path)
    if other is not path:
        raise InputError(f"data: {str(path.parent)!r} has two pictures {name!r}: {other.name}, {path.name}")


def _paired(hr: dict[str, Path], lr: dict[str, Path], border: str = "symmetric") -> list[Sample]:
    """Give every HR file its LR file; without any LR files, none."""
    if lr and (lonely := sorted(lr.keys() ^ hr.keys())):
        name = lonely[0]
        path, missing = (lr[name], "HR") if name in lr else (hr[name], "LR")
        raise InputError(f"data: {str(path)!r} has no {missing} file that belongs to it")
    return [Sample(name, path, lr.get(name), border) for name, path in hr.items()]
