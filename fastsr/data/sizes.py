"""How the parts of a set of squares are called, as folders and in the keys of a database: hr_128, lr_16, sr_16_128."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError

PART = re.compile(r"(?P<kind>hr|lr)_(?P<side>[1-9]\d*)")


def hr_part(side: int) -> str:
    """Return what HR pictures are called."""
    return f"hr_{side}"


def lr_part(side: int) -> str:
    """Return what LR pictures are called."""
    return f"lr_{side}"


def sr_part(low: int, high: int) -> str:
    """Return what LR pictures are called that were enlarged again."""
    return f"sr_{low}_{high}"


def find_sides(names: Iterable[str], factor: int | None, owner: Path) -> tuple[int, int | None] | None:
    """Return the sides of the HR and LR pictures that belong together at a factor, in pixels.

    Args:
        names: those of parts, and others.
        factor: HR side over LR side; None to leave LR pictures alone.
        owner: the folder that errors name.

    Returns:
        None where none of the names is of HR squares. The side of LR is None where none is of LR squares.

    Raises:
        InputError: no two, or not just two, belong together.
    """
    matches = [match for name in names if (match := PART.fullmatch(name))]
    large, small = (sorted(int(match["side"]) for match in matches if match["kind"] == kind) for kind in ("hr", "lr"))
    if not large:
        return None
    if small and factor is not None:
        pairs: list[tuple[int, int | None]] = [(high, low) for high in large for low in small if high == factor * low]
    else:
        pairs = [(high, None) for high in large]
    if len(pairs) == 1:
        return pairs[0]
    there = ", ".join([*map(hr_part, large), *map(lr_part, small)])
    if pairs:
        several = "several are of HR" if factor is None else f"several belong together at factor={factor}"
        raise InputError(f"data={str(owner)!r} holds {there}, of which {several}; keep one pair in a folder of its own")
    factors = sorted({high // low for high in large for low in small if high > low and high % low == 0})
    right = f"; give factor={' or '.join(map(str, factors))}" if factors else ""
    raise InputError(f"data={str(owner)!r} holds {there}, of which none belong together at factor={factor}{right}")
