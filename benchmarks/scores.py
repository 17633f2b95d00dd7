"""Scores of single pictures."""

from __future__ import annotations

from typing import Any

import fastsr


def psnr(a: Any, b: Any, **protocol: Any) -> float:
    """Return the PSNR in dB of one picture against another; see `fastsr.metrics.psnr`."""
    value = fastsr.metrics.psnr(a, b, **protocol)
    assert isinstance(value, float)
    return value
