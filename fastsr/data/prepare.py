"""HR images to folders or databases of HR, LR and SR images, in parallel, so that it can be stopped at any time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch

from ..checks import input_error, spell
from ..errors import FastsrError, InputError, NotEnoughMemoryError
from ..io.files import prepare_folder, require_same, write_json
from ..io.image_paths import find_images
from ..io.locks import sole_use
from ..runtime.progress import progress_bar
from .lmdb import package
from .recipes import Made, Recipe, SquareRecipe
from .stored_images import PictureFile
from .stores import Databases, Folders, Numbered, Store, database_of, place

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Items begun for each process: more results would pile up where they are used more slowly than they are made."""


def in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Generator[tuple[Item, Result], None, None]:
    """Yield each item with what a function makes of it, in the order in which they are done.

    When the generator is closed what has begun is finished, and no more is begun. The processes end with this one,
    however it ends; Ctrl-C is left to it.

    Args:
        function: can be pickled; it works on one thread.
        items: likewise.
        workers: how many processes; for one, or one item, there is none beside this.

    Raises:
        NotEnoughMemoryError: a process ended in the midst of work.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        yield from ((item, function(item)) for item in items)
        return
    # Not forked: torch's threads would not be there.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin_worker)
    waiting = iter(items)
    running: dict[Future[Result], Item] = {}
    try:
        while True:
            with _ctrl_c_for_this_process():
                for item in islice(waiting, AHEAD * workers - len(running)):
                    running[pool.submit(function, item)] = item
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
    except BrokenProcessPool as error:
        raise NotEnoughMemoryError(
            f"one of {spell('workers', workers)} ended in the midst of work, most likely for want of memory; take fewer"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _ctrl_c_for_this_process() -> Iterator[None]:
    """Begin processes that do not hear Ctrl-C, which a terminal sends to all, not even while they are starting."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker() -> None:
    """Work on one thread, leave Ctrl-C to the parent process, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows nothing else does
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


FACTORS = (4,)
SETTINGS = "settings.json"
LOCK = ".lock"

AnyRecipe = Recipe | SquareRecipe


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did: how many images it made, how many were there already, and which failed, and why."""

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
    """Make HR, LR and perhaps SR images of HR images, exactly as MATLAB's imresize does.

    Images are cropped at the right and the bottom to a multiple of all factors, and become 8 bits, RGB or grey,
    without alpha. LR is MATLAB's bicubic of HR, SR is that of LR upscaled again. With `sizes` HR is MATLAB's bicubic of
    the middle square of an image, and all are RGB. A second call makes only what is missing. Whatever stops one, no
    image is half written. Of two at once in one folder, the second one waits.

    Args:
        inputs: files, folders and patterns, as `fastsr.io.image_paths.find_images` takes them.
        output: the folder that gets HR/name.png, LR_bicubic/X4/name.png and SR_bicubic/X4/name.png, or with `lmdb`
            HR.lmdb, LR_bicubic_X4.lmdb and SR_bicubic_X4.lmdb; with `sizes` hr_128/name.png, lr_16/name.png and
            sr_16_128/name.png, or with `lmdb` squares_16_128.lmdb; and settings.json.
        factors: HR side over LR side, each at least 2; None for 4.
        sr: whether to make SR pictures.
        lmdb: whether to write LMDB databases, in the layout of BasicSR, or with `sizes` one as `numbered` has it.
        crop: the side of the squares to cut images into, name_s001, name_s002 and so on, in pixels of HR; a multiple
            of all factors. None for whole pictures. Squares of LR and SR are cut from the whole LR and SR.
        step: the distance from one square to the next, a multiple of all factors; the last one ends where the image
            does.
        sizes: the sides of LR and HR squares in pixels, such as (16, 128), instead of factors, sr, crop and step. The
            second is a multiple of the first; images with a side below it are refused.
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
        raise input_error("workers", workers, "cannot be used", "give at least 1")
    if lmdb:
        package()  # or nothing is written
    root = Path(output)
    images = find_images(inputs)
    _check_names(images)
    _check_places(images, root, recipe, lmdb)
    prepare_folder(root)
    with sole_use(root / LOCK):
        _settle(root, recipe, lmdb)
        return _fill(root, images, recipe, lmdb, workers or os.cpu_count() or 1, progress)


def _fill(root: Path, images: Sequence[Path], recipe: AnyRecipe, lmdb: bool, workers: int, progress: bool) -> Prepared:
    """Make what is missing."""
    failures: dict[Path, FastsrError] = {}
    with closing(_store(root, recipe, lmdb)) as store:
        missing = [image for image in images if not _is_there(image, recipe, store)]
        bar = progress_bar("prepare", "picture", shown=progress)
        with bar, closing(in_processes(partial(_make, recipe), missing, workers)) as results:
            bar.reset(len(missing))
            for image, made in results:
                if isinstance(made, FastsrError):
                    failures[image] = made
                else:
                    store.put(made)
                bar.update()
    return Prepared(len(missing) - len(failures), len(images) - len(missing), failures)


def _recipe(
    factors: Sequence[int] | None, sr: bool, crop: int | None, step: int | None, sizes: Sequence[int] | None
) -> AnyRecipe:
    if sizes is None:
        return Recipe(FACTORS if factors is None else tuple(sorted(set(factors))), sr, crop, step)
    others = {"factors": factors, "sr": sr or None, "crop": crop, "step": step}
    given = [f"{spell(name, value)}" for name, value in others.items() if value is not None]
    if given:
        raise input_error("sizes", tuple(sizes), f"and {', '.join(given)}: give sizes alone, or leave it out")
    return SquareRecipe(tuple(sizes))


def _places(root: Path, recipe: AnyRecipe, lmdb: bool) -> list[Path]:
    """Return the folders that are written to."""
    if lmdb and isinstance(recipe, SquareRecipe):
        return [database_of(root, *recipe.sizes)]
    return [place(root, part, lmdb=lmdb) for part in recipe.parts]


def _store(root: Path, recipe: AnyRecipe, lmdb: bool) -> Store:
    if not lmdb:
        return Folders(root, recipe.parts)
    if isinstance(recipe, SquareRecipe):
        return Numbered(database_of(root, *recipe.sizes))
    return Databases(root, recipe.parts)


def _check_names(images: Sequence[Path]) -> None:
    owners: dict[str, Path] = {}
    for image in images:
        other = owners.setdefault(image.stem, image)
        if other is not image:
            raise InputError(f"{str(other)!r} and {str(image)!r} have one name; rename one, or give them apart")


def _check_places(images: Sequence[Path], root: Path, recipe: AnyRecipe, lmdb: bool) -> None:
    written = {folder.resolve() for folder in _places(root, recipe, lmdb)}
    for image in images:
        if image.resolve().parent in written:
            raise InputError(f"{str(image)!r} is in a folder that is written to; name another one with -o")


def _settle(root: Path, recipe: AnyRecipe, lmdb: bool) -> None:
    """Begin in the folder, or go on in it with the same settings."""
    path = root / SETTINGS
    wanted = {**asdict(recipe), "lmdb": lmdb}
    if path.exists():
        require_same(path, wanted, root, "was prepared")
        return
    taken = [folder for folder in _places(root, recipe, lmdb) if folder.exists()]
    if taken:
        raise input_error(
            "output",
            str(root),
            (f"has {str(taken[0].relative_to(root))!r} and no {SETTINGS}, so it was not made by fastsr prepare"),
            "name another folder with -o",
        )
    write_json(path, wanted)


def _is_there(image: Path, recipe: AnyRecipe, store: Store) -> bool:
    """Whether all that is made of an image is there; of one that cannot be read it is not, and the work says why."""
    try:
        names = recipe.names(image, *PictureFile(image).sides())
    except FastsrError:
        return False
    return all(store.has(part, name) for part in recipe.parts for name in names)


def _make(recipe: AnyRecipe, image: Path) -> list[Made] | FastsrError:
    try:
        return recipe.make(image)
    except FastsrError as error:
        return error
