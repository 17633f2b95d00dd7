"""fastsr: single-image super-resolution and restoration on custom Triton GPU kernels.

Everything below is loaded when it is first used, so that ``import fastsr`` costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from . import consistency, metrics
    from .compare import compare
    from .dip import dip
    from .errors import DomainWarning, FastsrError
    from .history import History
    from .images import load, save
    from .pulse import pulse
    from .resize import resize
    from .sr3 import sr3
    from .srgan import srgan

_HOMES = {
    "DomainWarning": "errors",
    "FastsrError": "errors",
    "History": "history",
    "compare": "compare",
    "consistency": "consistency",
    "dip": "dip",
    "load": "images",
    "metrics": "metrics",
    "pulse": "pulse",
    "resize": "resize",
    "save": "images",
    "sr3": "sr3",
    "srgan": "srgan",
}


class _Package(ModuleType):
    """Keeps ``fastsr.dip`` the function: Python would rebind it to the submodule of that name on import."""

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and _HOMES.get(name) == name and hasattr(value, name):
            value = getattr(value, name)
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'fastsr' has no attribute {name!r}; it has {', '.join(__all__)}")
        module = importlib.import_module(f"fastsr.{_HOMES[name]}")
        return getattr(module, name, module)

    def __dir__(self) -> list[str]:
        return sorted([*__all__, *(name for name in super().__dir__() if name.startswith("__"))])


sys.modules[__name__].__class__ = _Package
