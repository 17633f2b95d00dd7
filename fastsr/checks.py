"""Arguments that are numbers, yes and no, names, or callbacks, checked; a bool is no number here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

from .errors import FastsrError, InputError, InputTypeError

Spell = Callable[[str, Any], str]
"""Writes an argument and its value as the user gave them: a keyword in Python, an option on the command line."""


def spell_keyword(name: str, value: Any) -> str:
    """Write an argument as it is given in Python, such as ``factor=4``."""
    return f"{name}={value!r}"


_spell: Spell = spell_keyword


def spell(name: str, value: Any) -> str:
    """Write an argument the way the user gave it. Every message that mentions an argument calls this."""
    return _spell(name, value)


@contextmanager
def spelled_by(function: Spell) -> Iterator[None]:
    """Let messages write arguments by `function`, as long as a command runs."""
    global _spell
    before, _spell = _spell, function
    try:
        yield
    finally:
        _spell = before


def input_error(
    name: str, value: Any, problem: str, advice: str = "", *, kind: type[FastsrError] = InputError
) -> FastsrError:
    """Return the error for an argument that cannot be used: "factor=1 does not enlarge an image; give 2 or more".

    Args:
        name: name of the argument in Python.
        value: value that was given.
        problem: predicate of the sentence that begins with the argument.
        advice: what would be right.
        kind: class of the error.

    Returns:
        The error, with the four parts as attributes `argument`, `value`, `problem` and `advice`.
    """
    error = kind(f"{spell(name, value)} {problem}" + (f"; {advice}" if advice else ""))
    error.argument, error.value, error.problem, error.advice = name, value, problem, advice
    return error


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
        raise input_error("factor", factor, "does not enlarge an image", f"give {right}")
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
        raise input_error(name, value, "is unknown", f"use one of {', '.join(known)}")
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


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'b'?)" for the one of `known` that `value` may be a slip for, or nothing."""
    names = {name.lower(): name for name in known}
    found = get_close_matches(value.lower(), names, n=1)
    return f" (did you mean {names[found[0]]!r}?)" if found else ""


def _wrong_type(name: str, value: Any, right: str) -> FastsrError:
    return input_error(name, value, f"is a {type(value).__name__}", f"give {right}", kind=InputTypeError)
