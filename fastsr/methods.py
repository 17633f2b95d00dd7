"""The methods by name, for what runs any of them: `fastsr evaluate`.

A method is known once its module has called `register`. The built-in ones are imported when they are asked for; a
method of your own is there from the moment you register it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any

from .errors import InputError, InputTypeError

if TYPE_CHECKING:
    import torch

    from .images import Picture

BUILT_IN = {
    "bicubic": "interpolation",
    "lanczos": "interpolation",
    "dip": "dip.method",
    "srgan": "srgan.method",
    "sr3": "sr3.method",
    "pulse": "pulse.method",
}

_registered: dict[str, Method] = {}


@dataclass(frozen=True)
class NoOptions:
    """The options of a method that has none."""


def _no_details(factor: int, options: Any) -> str:
    """Say nothing, as a method does whose options say all."""
    return ""


def _nothing_to_check(factor: int, options: Any, device: torch.device) -> None:
    """Take every option, as a method without options does."""


@dataclass(frozen=True)
class Method:
    """A way to enlarge a picture.

    Attributes:
        name: what it is called on the command line and in tables.
        summary: one line of help.
        options: a dataclass of the options that are the method's own; every field has metadata {"help": "..."}.
        upscale: called as ``upscale(picture, factor, options, device, kernel)`` with a `Picture` of one image, a whole
            number of at least 2, an instance of `options`, the device to compute on, and the name of the filter by
            which the picture was made small, as `fastsr.resize` has it; returns a `Picture` of the same channels at
            `factor` times the height and width.
        check: called with factor, options and device before any picture is worked on; raises a `FastsrError` for what
            cannot be used.
        details: called with factor and options; says what they amount to, in words that change when results do, so
            that those of another recipe or other weights are not taken for these.
    """

    name: str
    summary: str
    options: type
    upscale: Callable[[Picture, int, Any, torch.device, str], Picture]
    check: Callable[[int, Any, torch.device], None] = _nothing_to_check
    details: Callable[[int, Any], str] = _no_details


def register(method: Method) -> None:
    """Make a method known by its name, in place of one that had it.

    Raises:
        InputTypeError: its options are not a dataclass.
    """
    if not (isinstance(method.options, type) and is_dataclass(method.options)):
        raise InputTypeError(f"options={method.options!r} of method {method.name!r} is no dataclass")
    _registered[method.name] = method


def find(name: str) -> Method:
    """Return the method called `name`, importing its module where it is a built-in one.

    Raises:
        InputError: there is no such method.
    """
    if name not in _registered and name in BUILT_IN:
        importlib.import_module(f"fastsr.{BUILT_IN[name]}")
    if name not in _registered:
        raise InputError(f"method={name!r} is unknown; choose one of {', '.join(names())}")
    return _registered[name]


def names() -> list[str]:
    """Return the names of all methods: the built-in ones, then those registered since."""
    return list(dict.fromkeys([*BUILT_IN, *_registered]))
