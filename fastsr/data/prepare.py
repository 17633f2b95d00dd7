"""HR pictures to folders or databases of HR, LR and SR pictures, in parallel, so that it can be stopped at any time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from ..errors import FastsrError, InputError
from ..files import find_images, prepare_folder
from ..locks import sole_use
from ..progress import progress_bar
from ..settings_file import require_same, write_json
from .lmdb import package
from .numbered import Numbered, database_of
from .pictures import PictureFile
from .processes import in_processes
from .recipe import Made, Recipe
from .squares import Squares
from .stores import Databases, Folders, Store, place

FACTORS = (4,)
SETTINGS = "settings.json"
LOCK = ".lock"

AnyRecipe = Recipe | Squares


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did: how many pictures it made, how many were there already, and which failed, and why."""

    made: int
    there: int
    failures: dict[Path, FastsrError]


def prepare(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    factors: Sequence[int] | None = None,
    sr: bool = False,
    lmdb: bool = False,
    crop: int | None = None,
    step: int | None = None,
    sizes: Sequence[int] | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Prepared:
    """Make HR, LR and perhaps SR pictures of HR pictures, exactly as MATLAB's imresize does.

    Pictures are cropped at the right and the bottom to a multiple of all factors, and become 8 bits, RGB or grey,
    without alpha. LR is MATLAB's bicubic of HR, SR is that of LR enlarged again. With `sizes` HR is MATLAB's bicubic of
    the middle square of a picture, and all are RGB. A second call makes only what is missing. Whatever stops one, no
    picture is half written. Of two at once in one folder, the second one waits.

    Args:
        inputs: files, folders and patterns, as `fastsr.files.find_images` takes them.
        output: the folder that gets HR/name.png, LR_bicubic/X4/name.png and SR_bicubic/X4/name.png, or with `lmdb`
            HR.lmdb, LR_bicubic_X4.lmdb and SR_bicubic_X4.lmdb; with `sizes` hr_128/name.png, lr_16/name.png and
            sr_16_128/name.png, or with `lmdb` squares_16_128.lmdb; and settings.json.
        factors: HR side over LR side, each at least 2; None for 4.
        sr: whether to make SR pictures.
        lmdb: whether to write LMDB databases, in the layout of BasicSR, or with `sizes` one as `numbered` has it.
        crop: the side of the squares to cut pictures into, name_s001, name_s002 and so on, in pixels of HR; a multiple
            of all factors. None for whole pictures. Squares of LR and SR are cut from the whole LR and SR.
        step: the distance from one square to the next, a multiple of all factors; the last one ends where the picture
            does.
        sizes: the sides of LR and HR squares in pixels, such as (16, 128), instead of factors, sr, crop and step. The
            second is a multiple of the first; pictures with a side below it are refused.
        workers: processes to work in; None for one a CPU. A script that works in more than one calls this below
            ``if __name__ == "__main__":``, for they import it.
        progress: whether to show a bar on a terminal.

    Raises:
        MissingFileError: an input does not exist.
        InputError: an argument cannot be used, two inputs have one name, an input is in a folder that is written to,
            `output` was made with other settings or by somebody else, or the package lmdb is needed and missing.
        OutputError: nothing can be written in `output`.
        NotEnoughMemoryError: a process ended in the midst of work.
    """
    recipe = _recipe(factors, sr, crop, step, sizes)
    recipe.check()
    if workers is not None and workers < 1:
        raise InputError(f"workers={workers} cannot be used; give at least 1")
    if lmdb:
        package()  # or nothing is written
    root = Path(output)
    pictures = find_images(inputs)
    _check_names(pictures)
    _check_places(pictures, root, recipe, lmdb)
    prepare_folder(root)
    with sole_use(root / LOCK):
        _settle(root, recipe, lmdb)
        return _fill(root, pictures, recipe, lmdb, workers or os.cpu_count() or 1, progress)


def _fill(
    root: Path, pictures: Sequence[Path], recipe: AnyRecipe, lmdb: bool, workers: int, progress: bool
) -> Prepared:
    """Make what is missing."""
    failures: dict[Path, FastsrError] = {}
    with closing(_store(root, recipe, lmdb)) as store:
        missing = [picture for picture in pictures if not _is_there(picture, recipe, store)]
        bar = progress_bar("prepare", "picture", shown=progress)
        with bar, closing(in_processes(partial(_make, recipe), missing, workers)) as results:
            bar.reset(len(missing))
            for picture, made in results:
                if isinstance(made, FastsrError):
                    failures[picture] = made
                else:
                    store.put(made)
                bar.update()
    return Prepared(len(missing) - len(failures), len(pictures) - len(missing), failures)


def _recipe(
    factors: Sequence[int] | None, sr: bool, crop: int | None, step: int | None, sizes: Sequence[int] | None
) -> AnyRecipe:
    if sizes is None:
        return Recipe(FACTORS if factors is None else tuple(sorted(set(factors))), sr, crop, step)
    others = {"factors": factors, "sr": sr or None, "crop": crop, "step": step}
    given = [f"{name}={value!r}" for name, value in others.items() if value is not None]
    if given:
        raise InputError(f"sizes={tuple(sizes)!r} and {', '.join(given)}: give sizes alone, or leave it out")
    return Squares(tuple(sizes))


def _places(root: Path, recipe: AnyRecipe, lmdb: bool) -> list[Path]:
    """Return the folders that are written to."""
    if lmdb and isinstance(recipe, Squares):
        return [database_of(root, *recipe.sizes)]
    return [place(root, part, lmdb=lmdb) for part in recipe.parts]


def _store(root: Path, recipe: AnyRecipe, lmdb: bool) -> Store:
    if not lmdb:
        return Folders(root, recipe.parts)
    if isinstance(recipe, Squares):
        return Numbered(database_of(root, *recipe.sizes))
    return Databases(root, recipe.parts)


def _check_names(pictures: Sequence[Path]) -> None:
    owners: dict[str, Path] = {}
    for picture in pictures:
        other = owners.setdefault(picture.stem, picture)
        if other is not picture:
            raise InputError(f"{str(other)!r} and {str(picture)!r} have one name; rename one, or give them apart")


def _check_places(pictures: Sequence[Path], root: Path, recipe: AnyRecipe, lmdb: bool) -> None:
    written = {folder.resolve() for folder in _places(root, recipe, lmdb)}
    for picture in pictures:
        if picture.resolve().parent in written:
            raise InputError(f"{str(picture)!r} is in a folder that is written to; name another one with -o")


def _settle(root: Path, recipe: AnyRecipe, lmdb: bool) -> None:
    """Begin in the folder, or go on in it with the same settings."""
    path = root / SETTINGS
    wanted = {**asdict(recipe), "lmdb": lmdb}
    if path.exists():
        require_same(path, wanted, root, "was prepared")
        return
    taken = [folder for folder in _places(root, recipe, lmdb) if folder.exists()]
    if taken:
        raise InputError(
            f"output={str(root)!r} has {str(taken[0].relative_to(root))!r} and no {SETTINGS}, so it was not made by "
            "fastsr prepare; name another folder with -o"
        )
    write_json(path, wanted)


def _is_there(picture: Path, recipe: AnyRecipe, store: Store) -> bool:
    """Whether all that is made of a picture is there; of one that cannot be read it is not, and the work says why."""
    try:
        names = recipe.names(picture, *PictureFile(picture).sides())
    except FastsrError:
        return False
    return all(store.has(part, name) for part in recipe.parts for name in names)


def _make(recipe: AnyRecipe, picture: Path) -> list[Made] | FastsrError:
    try:
        return recipe.make(picture)
    except FastsrError as error:
        return error
