"""Arguments that are numbers, yes and no, names, or callbacks, checked; a bool is no number here."""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

from .errors import InputError, InputTypeError


def whole_number(name: str, value: Any, right: str) -> int:
    """Return `value` as an int.

    Args:
        name: of the argument.
        value: what came.
        right: what to give, for the error.

    Raises:
        InputTypeError: it is no whole number.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise _wrong_type(name, value, right)
    return int(value)


def number(name: str, value: Any, right: str) -> float:
    """Return `value` as a float, infinity where it is beyond all floats; otherwise like `whole_number`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise _wrong_type(name, value, right)
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]  # whatever kind of number it is


def enlargement(factor: Any, right: str) -> float:
    """Return `factor` as a float.

    Raises:
        InputTypeError: it is no number.
        InputError: it is not above 1, or not finite.
    """
    value = number("factor", factor, right)
    if not 1 < value < math.inf:
        raise InputError(f"factor={factor!r} does not enlarge a picture; give {right}")
    return value


def flag(name: str, value: Any, right: str = "True or False") -> bool:
    """Return `value` when it is a bool; otherwise like `whole_number`."""
    if not isinstance(value, bool):
        raise _wrong_type(name, value, right)
    return value


def choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return `value` when it is one of `choices`.

    Raises:
        InputError: it is not.
    """
    known = tuple(choices)
    if value not in known:
        raise InputError(f"{name}={value!r} is unknown; use one of {', '.join(known)}")
    return value


def check_callback(callback: Any) -> None:
    """Check what a method calls after every step, if there is such a thing.

    Raises:
        InputTypeError: it cannot be called, or is a class: a call would make another of these, and throw it away.
    """
    if isinstance(callback, type):
        raise InputTypeError(f"callback={callback.__name__} is a class; give one of its objects: {callback.__name__}()")
    if callback is not None and not callable(callback):
        raise InputTypeError(f"callback={callback!r} cannot be called; give a function of step, image and info")


def meant(value: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'b'?)" for the one of `known` that `value` may be a slip for, or nothing."""
    names = {name.lower(): name for name in known}
    found = get_close_matches(value.lower(), names, n=1)
    return f" (did you mean {names[found[0]]!r}?)" if found else ""


def _wrong_type(name: str, value: Any, right: str) -> InputTypeError:
    return InputTypeError(f"{name}={value!r} is a {type(value).__name__}; give {right}")
