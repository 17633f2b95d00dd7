"""The packages that fastsr is measured against: importing them, and which versions there are."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import torch

from benchmarks.report import ROOT
from fastsr.io.files import atomic_write

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


REQUIREMENTS = Path(__file__).with_name("requirements.txt")
CONSTRAINTS = ROOT / "constraints.txt"
LOG = "peers.json"
"""In the environment: for each package that could not be installed what pip said of it."""


def ready(folder: Path) -> Path:
    """Return the Python of the environment in `folder`, which is made where there is none.

    Raises:
        SystemExit: torch cannot be installed.
    """
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (folder / LOG).exists():
        print(f"making {folder}, once", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        refused = install(python, "torch")
        if refused is not None:
            raise SystemExit(f"torch cannot be installed into {folder}: {refused}")
        missing = {name: said for name in requirements() if (said := install(python, name)) is not None}
        with atomic_write(folder / LOG) as file:
            file.write((json.dumps(missing, indent=1) + "\n").encode())
    return python


def missing(folder: Path) -> dict[str, str]:
    """Return the packages that could not be installed into the environment, each with what pip said."""
    found: dict[str, str] = json.loads((folder / LOG).read_text())
    return found


def requirements() -> list[str]:
    """Return the packages of requirements.txt."""
    lines = (line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines())
    return [line for line in lines if line]


def install(python: Path, package: str) -> str | None:
    """Install a package by pip; return None, or what pip said where it failed."""
    print(f"installing {package}", flush=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "-c", str(CONSTRAINTS), package]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    errors = re.findall(r"^ERROR: (.+)$", done.stderr, re.MULTILINE)
    return errors[-1] if errors else f"pip ended with status {done.returncode}"
