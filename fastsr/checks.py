"""Checks of arguments, a bool not being a number, and the errors about them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

from .errors import FastsrError, InputError, InputTypeError


class Spelling:
    """Writes arguments and calls in messages as in Python; a command writes them as its options and as commands."""

    def argument(self, name: str, value: Any) -> str:
        """Write an argument and its value, such as ``factor=4``."""
        return f"{name}={value!r}"

    def call(self, function: str, arguments: Mapping[str, Any]) -> str:
        """Write a public function, such as ``fastsr.srgan``, or a call of it: ``fastsr.resize(img, size=(8, 8))``."""
        given = ", ".join(["img", *(self.argument(name, value) for name, value in arguments.items())])
        return f"fastsr.{function}({given})" if arguments else f"fastsr.{function}"


_spelling = Spelling()


def spell(name: str, value: Any) -> str:
    """Write an argument the way the user gave it. Every message that mentions an argument calls this."""
    return _spelling.argument(name, value)


def spell_call(function: str, **arguments: Any) -> str:
    """Write a public function of fastsr, or a call of it, the way the user would run it."""
    return _spelling.call(function, arguments)


@contextmanager
def spelled_by(spelling: Spelling) -> Iterator[None]:
    """Let messages write arguments and calls by `spelling`, such as a command's, inside the context."""
    global _spelling
    before, _spelling = _spelling, spelling
    try:
        yield
    finally:
        _spelling = before


def input_error(
    name: str, value: Any, problem: str, advice: str = "", *, kind: type[FastsrError] = InputError
) -> FastsrError:
    """Return the error for an argument that cannot be used: "factor=1 does not upscale an image; give 2 or more".

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
        name: name of the argument.
        value: value that was given.
        right: what would be right, for the error.

    Raises:
        InputTypeError: it is not a whole number.
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
        InputTypeError: it is not a number.
        InputError: it is not above 1, or not finite.
    """
    value = number("factor", factor, right)
    if not 1 < value < math.inf:
        raise input_error("factor", factor, "does not upscale an image", f"give {right}")
    return value


def flag(name: str, value: Any, right: str = "True or False") -> bool:
    """Return `value` if it is a bool; otherwise like `whole_number`."""
    if not isinstance(value, bool):
        raise _wrong_type(name, value, right)
    return value


def choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return `value` if it is one of `choices`.

    Raises:
        InputError: it is not.
    """
    known = tuple(choices)
    if value not in known:
        raise input_error(name, value, "is unknown", f"use one of {', '.join(known)}")
    return value


def check_callback(callback: Any) -> None:
    """Check that `callback`, which a method calls after every step, is None or can be called.

    Raises:
        InputTypeError: it is not callable, or is a class, whose call would only make an object of it.
    """
    if isinstance(callback, type):
        raise InputTypeError(f"callback={callback.__name__} is a class; give an instance: {callback.__name__}()")
    if callback is not None and not callable(callback):
        raise input_error(
            "callback", callback, "is not callable", "give a function of step, image and info", kind=InputTypeError
        )


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'b'?)" for the name in `known` that `value` may be a slip for, or nothing."""
    names = {name.lower(): name for name in known}
    found = get_close_matches(value.lower(), names, n=1)
    return f" (did you mean {names[found[0]]!r}?)" if found else ""


def _wrong_type(name: str, value: Any, right: str) -> FastsrError:
    return input_error(name, value, f"is a {type(value).__name__}", f"give {right}", kind=InputTypeError)
