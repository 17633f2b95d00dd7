"""fastsr: single-image super-resolution and restoration on custom Triton GPU kernels.

``import fastsr`` does not load torch: the four methods load it when they are called, other names on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .dip import dip
from .errors import DomainWarning, FastsrError
from .pulse import pulse
from .sr3 import sr3
from .srgan import srgan

if TYPE_CHECKING:
    from . import consistency, metrics
    from .figures.comparison import compare
    from .figures.history import History
    from .images import load, save
    from .images.resizing import resize

__version__ = "0.1.0"
__all__ = [
    "DomainWarning",
    "FastsrError",
    "History",
    "compare",
    "consistency",
    "dip",
    "load",
    "metrics",
    "pulse",
    "resize",
    "save",
    "sr3",
    "srgan",
]

_HOMES = {
    "History": "figures.history",
    "compare": "figures.comparison",
    "load": "images",
    "resize": "images.resizing",
    "save": "images",
}
_MODULES = ("consistency", "metrics")


if not TYPE_CHECKING:  # else every misspelled name would have a type

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return importlib.import_module(f".{name}", __name__)
        if name not in _HOMES:
            raise AttributeError(f"module 'fastsr' has no attribute {name!r}; it has {', '.join(__all__)}")
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
