"""Which image files to read, where results go, and writing them whole or not at all."""

from __future__ import annotations

import glob
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .codecs import FORMATS, is_folder
from .errors import FastsrError, InputError, OutputError
from .locks import new_and_held, remove_unless_held

# What a result is called: its input, the method or kernel, the task, the factor or size; then which face it is of, and
# the number of a sample, or what of it is beside it.
RESULT_STEM = re.compile(
    r"(?P<source>.+?)_[a-z0-9]+_((denoise|inpaint|restore)(_x[0-9.]+)?|x[0-9.]+|[0-9]+x[0-9]+)"
    r"(_(face[0-9]+|pasted))?(_([0-9]+|compare|mean|spread|process))?"
)
TEMPORARY = f".{'[0-9a-f]' * 8}.tmp"
"""What files are called, as a glob, until they are whole."""
READ_SUFFIXES = (*FORMATS, ".avif", ".gif", ".jp2", ".jpe", ".mpo", ".pbm", ".pgm", ".ppm", ".tga")


def find_images(inputs: Sequence[str | Path]) -> list[Path]:
    """Expand files, folders and globs into the image files they name.

    A folder gives the images directly in it and a glob the images it matches, each sorted by name; images are
    known by `READ_SUFFIXES`. A file named outright is taken whatever its suffix. A file named twice comes once.

    Raises:
        InputError: nothing was given, a folder or glob holds no image, or a path cannot be looked at.
        MissingFileError: a path does not exist.
    """
    return _distinct(path for path, _ in _find(inputs))


def _find(inputs: Sequence[str | Path]) -> list[tuple[Path, bool]]:
    """Return the files, each with whether it was named outright; some may come twice."""
    if not inputs:
        raise InputError("no input: give image files, folders or globs")
    return [(path, path == given) for given in map(Path, inputs) for path in _expand(given)]


def _distinct(paths: Iterable[Path]) -> list[Path]:
    found: dict[str, Path] = {}
    for path in paths:
        found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _expand(given: Path) -> list[Path]:
    what = f"input {str(given)!r}"
    pattern = False
    try:
        if not is_folder(given, what):
            return [given]
    except FastsrError:
        pattern = glob.has_magic(str(given))
        if not pattern:
            raise
    try:
        matches = map(Path, glob.glob(str(given), recursive=True)) if pattern else given.iterdir()
        images = sorted(path for path in matches if path.suffix.lower() in READ_SUFFIXES and path.is_file())
    except OSError as error:  # a folder may be entered and not listed, or listed and not entered
        raise InputError(f"{what} cannot be read: {error.strerror}") from error
    if not images:
        raise InputError(f"{what} holds no image; images end in {', '.join(READ_SUFFIXES)}")
    return images


def plan_outputs(
    inputs: Sequence[str | Path],
    output: str | Path | None,
    *,
    suffix: str,
    compare: bool = False,
    beside: Callable[[Path], Iterable[Path]] | None = None,
) -> list[tuple[Path, Path]]:
    """Expand `inputs` and say where the result of each goes; check that it can be written there.

    With the suffix "_dip_x4" the result of `photo.jpg` is `photo_dip_x4.jpg`, beside it or in the folder `output`;
    a format that cannot be written becomes PNG. For a single input `output` may name the file itself: it does
    where it ends like a file and is not a folder already.

    Of what folders and globs give, the results and comparisons of other files found are no inputs, whichever command
    made them: photo_dip_x4.png beside photo.png. So a call can be made again, and writes the same files anew. A file
    named outright is always an input.

    Args:
        inputs: files, folders and globs, as `find_images` takes them.
        output: a folder, a file, or None for beside the input.
        suffix: what the name of a result has after that of its input, such as "_dip_x4".
        compare: whether a comparison goes beside each result, named as `comparison_of` says.
        beside: what else is written beside a result, in its folder.

    Returns:
        (input, output) pairs, as `find_images` orders them.

    Raises:
        InputError, MissingFileError: as `find_images`.
        OutputError: a result or what is beside it would overwrite an input, two would get one name, `output` names one
            file for several inputs or an unknown format, a folder is where a file should go, or a file cannot be
            written.
    """
    folder = None if output is None else Path(output)
    file = None if output is None or names_folder(output) else Path(output)

    def result(source: Path) -> Path:
        return file or _result_name(source, suffix, folder or source.parent)

    sources = _distinct(_without_results(_find(inputs)))
    if file is not None and len(sources) > 1:
        raise OutputError(f"output {str(output)!r} is one file for {len(sources)} inputs; name a folder")
    if file is not None and file.suffix.lower() not in FORMATS:
        raise OutputError(f"output {str(output)!r} has no suffix that can be written: {', '.join(FORMATS)}")
    plan = [(source, result(source)) for source in sources]
    writes = plan + [(source, comparison_of(target)) for source, target in plan if compare]
    if beside is not None:
        writes += [(source, path) for source, target in plan for path in beside(target)]
    _refuse_clashes(writes)
    for parent in {target.parent for _, target in writes}:
        prepare_folder(parent)
    for _, target in writes:
        _check_name(target)
    return plan


def comparison_of(target: Path) -> Path:
    """Return where the comparison goes that belongs to the result `target`: photo_compare.png beside photo.png."""
    return target.with_name(f"{target.stem}_compare{target.suffix}")


def names_folder(output: str | Path) -> bool:
    """Whether `output` is a folder, or would be one if it were made: it ends in a slash or has no suffix."""
    return os.path.isdir(output) or str(output).endswith(("/", os.sep)) or not Path(output).suffix


def _without_results(found: Sequence[tuple[Path, bool]]) -> Iterator[Path]:
    """Leave out what is by its name a result or comparison of another file found, unless it was named outright."""
    stems = {path.stem for path, _ in found}
    for path, named in found:
        match = RESULT_STEM.fullmatch(path.stem)
        if named or match is None or match["source"] not in stems:
            yield path


def _refuse_clashes(writes: Sequence[tuple[Path, Path]]) -> None:
    taken = {os.path.realpath(source) for source, _ in writes}
    owners: dict[str, Path] = {}
    for source, target in writes:
        real = os.path.realpath(target)
        if os.path.isdir(target):
            raise OutputError(f"output {str(target)!r} is a folder")
        if real in taken:
            raise OutputError(f"the result of {str(source)!r} would overwrite the input {str(target)!r}")
        if real in owners:
            raise OutputError(
                f"the results of {str(owners[real])!r} and {str(source)!r} would both be {str(target)!r}; "
                "give them different output folders"
            )
        owners[real] = source


def _result_name(source: Path, suffix: str, folder: Path) -> Path:
    extension = source.suffix if source.suffix.lower() in FORMATS else ".png"
    return folder / f"{source.stem}{suffix}{extension}"


def prepare_folder(folder: Path) -> None:
    """Make `folder` where it is missing, and check that files can be written in it: before the work, not after.

    What killed processes were writing in it goes: half a checkpoint is large.

    Raises:
        OutputError: it cannot be made, or nothing can be written in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(TEMPORARY):
            remove_unless_held(left)
        _probe(_temporary(folder))
    except OSError as error:
        raise OutputError(f"output folder {str(folder)!r} is not writable: {error.strerror}") from error


def _check_name(target: Path) -> None:
    """Check that the file system takes the name, which may be too long for it.

    Nothing is made and removed: another process may put its result there at any moment.
    """
    try:
        os.lstat(target)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OutputError(f"output {str(target)!r} cannot be written: {error.strerror}") from error


def _probe(path: Path) -> None:
    path.touch(exist_ok=False)
    path.unlink(missing_ok=True)  # a process that removes what others left may have been first


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path` when the block ends; if it fails, `path` stays as it was.

    Raises:
        OutputError: the file cannot be written.
    """
    path = Path(path)
    temporary = _temporary(path.parent)
    try:
        with new_and_held(temporary) as file:
            yield file
            file.flush()
            if sys.platform == "win32":
                file.close()  # there an open file keeps its name
            os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):  # the first error is the one to tell
            temporary.unlink()
        if isinstance(error, OSError) and not isinstance(error, FastsrError):
            raise OutputError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error
        raise


def _temporary(folder: Path) -> Path:
    """Name a file in the folder of the final one: `os.replace` does not cross file systems.

    The name is short and not made from the final one, which may already be as long as the file system allows.
    """
    return folder / f".{secrets.token_hex(4)}.tmp"
