"""Which image files a command reads, and where it writes the results."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import FastsrError, InputError, OutputError
from .codecs import FORMATS
from .files import is_folder, prepare_folder

RESULT_STEM = re.compile(
    r"(?P<source>.+?)_[a-z0-9]+_((denoise|inpaint|restore)(_x[0-9.]+)?|x[0-9.]+|[0-9]+x[0-9]+)"
    r"(_(face[0-9]+|pasted))?(_([0-9]+|compare|mean|spread|process))?"
)
"""The name of a result without suffix: its input, the method or kernel, the task, the factor or size; then the face,
and the number of a sample or the kind of an additional file."""
READ_SUFFIXES = (*FORMATS, ".avif", ".gif", ".jp2", ".jpe", ".mpo", ".pbm", ".pgm", ".ppm", ".tga")
"""The suffixes by which folders and globs are searched for images."""


def find_images(inputs: Sequence[str | Path]) -> list[Path]:
    """Expand files, folders and globs into the image files they name.

    A folder gives the images directly in it and a glob the images it matches, each sorted by name; images are
    recognised by `READ_SUFFIXES`. A file given by its path is taken whatever its suffix. A file given twice is
    returned once.

    Raises:
        InputError: nothing was given, a folder or glob contains no image, or a path cannot be accessed.
        MissingFileError: a path does not exist.
    """
    return _distinct(path for path, _ in _find(inputs))


def _find(inputs: Sequence[str | Path]) -> list[tuple[Path, bool]]:
    """Return the files, each with whether it was given by its path; some may appear twice."""
    if not inputs:
        raise InputError("no input: give image files, folders or globs")
    return [(path, path == given) for given in map(Path, inputs) for path in _expand(given)]


def _distinct(paths: Iterable[Path]) -> list[Path]:
    """Return the paths without those of a file that an earlier one names."""
    by_real_path: dict[str, Path] = {}
    for path in paths:
        by_real_path.setdefault(os.path.realpath(path), path)
    return list(by_real_path.values())


def _expand(given: Path) -> list[Path]:
    """Return the images that a file, folder or glob names."""
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
    """Expand `inputs` into image files, choose a path for the result of each, and check that it can be written.

    With the suffix "_dip_x4" the result of `photo.jpg` is `photo_dip_x4.jpg`, beside it or in the folder `output`;
    a format that cannot be written becomes PNG. For a single input `output` may be the path of the result itself:
    it is, if it has a suffix and is not an existing folder.

    Results and comparisons of earlier runs, of any command, that a folder or glob contains beside their inputs are not
    used as inputs: photo_dip_x4.png beside photo.png. So a call can be repeated, and writes the same files again. A
    file given by its path is always an input.

    Args:
        inputs: files, folders and globs, as `find_images` takes them.
        output: a folder, a file, or None for beside the input.
        suffix: is appended to the name of the input, such as "_dip_x4".
        compare: whether a comparison is written beside each result, named by `comparison_of`.
        beside: returns the other files that are written beside a result, in its folder.

    Returns:
        (input, output) pairs, in the order of `find_images`.

    Raises:
        InputError, MissingFileError: as for `find_images`.
        OutputError: a file would overwrite an input or another result, `output` is one file for several inputs or has
            an unknown format, a folder is where a file should go, or a file cannot be written.
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
    _check_clashes(writes)
    for parent in {target.parent for _, target in writes}:
        prepare_folder(parent)
    for _, target in writes:
        _check_name(target)
    return plan


def comparison_of(target: Path) -> Path:
    """Return the path of the comparison for the result `target`: photo_compare.png beside photo.png."""
    return target.with_name(f"{target.stem}_compare{target.suffix}")


def names_folder(output: str | Path) -> bool:
    """Whether `output` is a folder, or names one to be created: it ends in a slash or has no suffix."""
    return os.path.isdir(output) or str(output).endswith(("/", os.sep)) or not Path(output).suffix


def _without_results(files: Sequence[tuple[Path, bool]]) -> Iterator[Path]:
    """Skip files whose name is that of a result or comparison of another file, unless they were given by their path."""
    stems = {path.stem for path, _ in files}
    for path, is_given in files:
        match = RESULT_STEM.fullmatch(path.stem)
        if is_given or match is None or match["source"] not in stems:
            yield path


def _check_clashes(writes: Sequence[tuple[Path, Path]]) -> None:
    """Check that no file of `writes` (input, output) is a folder, an input or another output."""
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
    """Return the path of the result of `source` in `folder`."""
    extension = source.suffix if source.suffix.lower() in FORMATS else ".png"
    return folder / f"{source.stem}{suffix}{extension}"


def _check_name(target: Path) -> None:
    """Check that the file system accepts the name, which may be too long for it.

    No file is created for it: another process may write its result there at any moment.
    """
    try:
        os.lstat(target)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OutputError(f"output {str(target)!r} cannot be written: {error.strerror}") from error
