"""The packages that only training needs."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import InputError

PACKAGES = {"accelerate": "accelerate", "yaml": "pyyaml"}
"""For each module the name to install it by."""


def require_packages() -> None:
    """Raise `InputError` where a package is missing of the extra `train`."""
    for module, package in PACKAGES.items():
        if find_spec(module) is None:
            raise InputError(f"fastsr train needs {package}: pip install {package}")
