"""Which image files to read, where results go, and writing them whole or not at all."""

from __future__ import annotations

import glob
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .codecs import FORMATS
from .errors import InputError, MissingFileError, OutputError

READ_SUFFIXES = (*FORMATS, ".avif", ".gif", ".jp2", ".jpe", ".mpo", ".pbm", ".pgm", ".ppm", ".tga")


def find_images(inputs: Sequence[str | Path]) -> list[Path]:
    """Expand files, folders and globs into the image files they name.

    A folder gives the images directly in it and a glob the images it matches, each sorted by name; images are
    known by `READ_SUFFIXES`. A file named outright is taken whatever its suffix. A file named twice comes once.

    Raises:
        InputError: nothing was given, or a folder or glob holds no image.
        MissingFileError: a path does not exist.
    """
    if not inputs:
        raise InputError("no input: give image files, folders or globs")
    found: dict[Path, Path] = {}
    for given in inputs:
        for path in _expand(Path(given)):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _expand(given: Path) -> list[Path]:
    if given.is_dir():
        matches = list(given.iterdir())
    elif given.exists():
        return [given]
    elif glob.has_magic(str(given)):
        matches = [Path(match) for match in glob.glob(str(given), recursive=True)]
    else:
        raise MissingFileError(f"input {str(given)!r} does not exist")
    images = sorted(path for path in matches if path.suffix.lower() in READ_SUFFIXES and path.is_file())
    if not images:
        raise InputError(f"input {str(given)!r} holds no image; images end in {', '.join(READ_SUFFIXES)}")
    return images


def plan_outputs(inputs: Sequence[str | Path], output: str | Path | None, *, suffix: str) -> list[tuple[Path, Path]]:
    """Expand `inputs` and say where the result of each goes; check that it can be written there.

    With the suffix "_dip_x4" the result of `photo.jpg` is `photo_dip_x4.jpg`, beside it or in the folder `output`;
    a format that cannot be written becomes PNG. For a single input `output` may name the file itself: it does
    where it ends like a file and is not a folder already.

    Returns:
        (input, output) pairs, as `find_images` orders them.

    Raises:
        InputError, MissingFileError: as `find_images`.
        OutputError: a result would overwrite an input, two would get one name, `output` names one file for
            several inputs or an unknown format, a folder is where a file should go, or nothing can be written in
            a folder.
    """
    sources = find_images(inputs)
    if output is None or names_folder(output):
        folder = None if output is None else Path(output)
        targets = [_result_name(path, suffix, path.parent if folder is None else folder) for path in sources]
    elif len(sources) > 1:
        raise OutputError(f"output {str(output)!r} is one file for {len(sources)} inputs; name a folder")
    elif Path(output).suffix.lower() not in FORMATS:
        raise OutputError(f"output {str(output)!r} has no suffix that can be written: {', '.join(FORMATS)}")
    else:
        targets = [Path(output)]
    _refuse_clashes(sources, targets)
    for folder in {target.parent for target in targets}:
        prepare_folder(folder)
    return list(zip(sources, targets, strict=True))


def names_folder(output: str | Path) -> bool:
    """Whether `output` is a folder, or would be one if it were made: it ends in a slash or has no suffix."""
    return Path(output).is_dir() or str(output).endswith(("/", os.sep)) or not Path(output).suffix


def _refuse_clashes(sources: Sequence[Path], targets: Sequence[Path]) -> None:
    taken = {path.resolve() for path in sources}
    owners: dict[Path, Path] = {}
    for source, target in zip(sources, targets, strict=True):
        resolved = target.resolve()
        if target.is_dir():
            raise OutputError(f"output {str(target)!r} is a folder")
        if resolved in taken:
            raise OutputError(f"the result of {str(source)!r} would overwrite the input {str(target)!r}")
        if resolved in owners:
            raise OutputError(
                f"the results of {str(owners[resolved])!r} and {str(source)!r} would both be {str(target)!r}; "
                "give them different output folders"
            )
        owners[resolved] = source


def _result_name(source: Path, suffix: str, folder: Path) -> Path:
    extension = source.suffix if source.suffix.lower() in FORMATS else ".png"
    return folder / f"{source.stem}{suffix}{extension}"


def prepare_folder(folder: Path) -> None:
    """Make `folder` where it is missing, and check that files can be written in it: before the work, not after.

    Raises:
        OutputError: it cannot be made, or nothing can be written in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = _temporary(folder / "probe")
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise OutputError(f"output folder {str(folder)!r} is not writable: {error.strerror}") from error


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path` when the block ends; if it fails, `path` stays as it was.

    Raises:
        OutputError: the file cannot be written.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            raise OutputError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error
        raise


def _temporary(path: Path) -> Path:
    """Name a file beside `path`, so that it can be renamed to it: `os.replace` does not cross file systems."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
