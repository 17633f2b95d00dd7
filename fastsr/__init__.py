"""fastsr: single-image super-resolution and restoration on custom Triton GPU kernels.

The names below are loaded when they are first used, so that ``import fastsr`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "dip": "fastsr.dip",
    "resize": "fastsr.resize",
    "load": "fastsr.images",
    "save": "fastsr.images",
}

__all__ = [*_HOMES, "metrics"]
