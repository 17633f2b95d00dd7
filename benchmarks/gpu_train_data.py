"""What training on a GPU reads, prepared beforehand and no larger than it needs to be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fastsr.data.pictures import PictureFile
from fastsr.data.prepare import prepare as make_squares
from fastsr.files import find_images

from .gpu_train_recipes import RECIPES

CROP = 128
"""The largest crop of photographs: smaller ones are left out."""
SIDES = (16, 128)
"""Of faces."""
FACTORS = (2, 4)
"""Of the photographs that are validated on."""

Make = Callable[[Path], None]


def prepare(source: Path, folder: Path) -> dict[str, int]:
    """Make what is missing, each part whole or not at all, and return the bytes of each.

    Photographs, which are JPEG and PNG, and weights are copied as they are. Of faces there are squares of both sides.

    Args:
        source: what FASTSR_DATA names.
        folder: where it goes.

    Raises:
        MissingFileError, FileNotFoundError: something is not there.
    """
    parts: dict[str, Make] = {
        "bsds500_train": partial(_photographs, source / "bsds500" / "train"),
        "bsds500_test": partial(_photographs, source / "bsds500" / "test"),
        "t91": partial(_photographs, source / "t91"),
        "Set5": partial(_benchmark, source / "Set5"),
        "faces": partial(_faces, source / "faces" / "train"),
        "faces_val": partial(_faces, source / "faces" / "val"),
        "vgg19-normalised-conv3_1.pth": partial(shutil.copyfile, source / "weights" / "vgg19-normalised-conv3_1.pth"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in parts.items():
        if not (folder / name).exists():
            begun = folder / f".{name}"
            shutil.rmtree(begun, ignore_errors=True)
            make(begun)
            begun.rename(folder / name)
    return {name: size_of(folder / name) for name in parts}


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())


def table(sizes: dict[str, int]) -> str:
    """Say in MiB how much each part weighs, and what each recipe needs."""
    lines = [f"{name:<30} {size / 2**20:6.1f} MiB" for name, size in sizes.items()]
    for recipe in RECIPES.values():
        needed = sum(sizes[name] for name in recipe.folders)
        lines.append(f"{recipe.name}: {needed / 2**20:.1f} MiB, {' '.join(recipe.folders)}")
    return "\n".join(lines)


def _photographs(source: Path, folder: Path) -> None:
    folder.mkdir()
    for picture in find_images([source]):
        if min(PictureFile(picture).sides()) >= CROP:
            shutil.copyfile(picture, folder / picture.name)


def _benchmark(source: Path, folder: Path) -> None:
    for factor in FACTORS:
        name = f"image_SRF_{factor}"
        shutil.copytree(source / name, folder / name)


def _faces(source: Path, folder: Path) -> None:
    make_squares([source], folder, sizes=SIDES)
    for path in folder.iterdir():
        if path.name not in (f"lr_{SIDES[0]}", f"hr_{SIDES[1]}"):  # what is enlarged again is not trained on
            shutil.rmtree(path) if path.is_dir() else path.unlink()
