"""The packages that fastsr is measured against: importing them, and which versions there are."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

import torch

IMPORTED_AS = {
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "resize-right": "resize_right",
    "scikit-image": "skimage",
}
"""Where a package is imported under another name than it is installed by."""
NEED_TORCHVISION = ("basicsr", "deepinv", "piq", "pyiqa", "spandrel", "torchmetrics", "torchvision")
OPERATORS_DECLARED = ("nms", "qnms")
"""Of torchvision, without which it cannot be imported. Nothing that is measured calls them."""


def load(name: str) -> ModuleType:
    """Import the module `name`, part of a package or a package, with what that needs to be imported at all.

    torchvision built for CUDA, which is what the registry has, cannot load its operators beside a torch for the CPU,
    and then fails because it describes two of them: they are declared. BasicSR imports from a module that newer
    torchvision calls by another name: it is found by both.

    Raises:
        ImportError, RuntimeError: it is not installed, or cannot be imported.
    """
    package = name.partition(".")[0]
    if package in NEED_TORCHVISION:
        _load_torchvision()
    if package == "basicsr":
        renamed = importlib.import_module("torchvision.transforms._functional_tensor")
        sys.modules.setdefault("torchvision.transforms.functional_tensor", renamed)
    return importlib.import_module(name)


def _load_torchvision() -> None:
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in OPERATORS_DECLARED:
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        importlib.import_module("torchvision")


def state(packages: list[str], refused: dict[str, str]) -> dict[str, str]:
    """Return for each package its version, or in words why it is not measured.

    Args:
        packages: by the names that they are installed by.
        refused: what the installation said of those that it failed for.
    """
    found = {}
    for package in packages:
        if package in refused:
            found[package] = f"cannot be installed: {refused[package]}"
            continue
        try:
            load(IMPORTED_AS.get(package, package))
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
        except Exception as error:  # whatever a package does when it is imported
            found[package] = f"cannot be imported: {in_words(error)}"
    return found


def in_words(error: Exception) -> str:
    """Return the kind of an error and the first line of what it says."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
