"""Methods by name, for `fastsr evaluate`, which runs any of them.

The built-in methods are imported on first use. `register` adds a method of your own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any

from .checks import input_error
from .errors import InputTypeError

if TYPE_CHECKING:
    import torch

    from .images import Picture

BUILT_IN = ("bicubic", "lanczos", "dip", "srgan", "sr3", "pulse")

_registered: dict[str, Method] = {}


@dataclass(frozen=True)
class NoOptions:
    """The options of a method that has none."""


def _no_details(factor: int, options: Any) -> str:
    return ""


def _nothing_to_check(factor: int, options: Any, device: torch.device) -> None:
    pass


@dataclass(frozen=True)
class Method:
    """A way to upscale an image.

    Attributes:
        name: its name on the command line and in tables.
        summary: one line of help.
        options: a dataclass of the method's own options; every field has metadata {"help": "..."}.
        upscale: called as ``upscale(image, factor, options, device, kernel)`` with a `Picture` of one image, a whole
            number of at least 2, an instance of `options`, the device to compute on, and the name of the filter that
            downscaled the image, as `fastsr.resize` has it; returns a `Picture` of the same channels at `factor` times
            the height and width.
        check: called with factor, options and device before the first image; raises a `FastsrError` for options that
            cannot be used.
        details: called with factor and options; returns a text that changes whenever the results do, such as the
            recipe or a digest of the weights, so that an evaluation is not resumed with another one.
    """

    name: str
    summary: str
    options: type
    upscale: Callable[[Picture, int, Any, torch.device, str], Picture]
    check: Callable[[int, Any, torch.device], None] = _nothing_to_check
    details: Callable[[int, Any], str] = _no_details


def register(method: Method) -> None:
    """Make a method available by its name, in place of any other method of that name.

    Raises:
        InputTypeError: its options are not a dataclass.
    """
    if not (isinstance(method.options, type) and is_dataclass(method.options)):
        raise input_error(
            "options", method.options, f"of method {method.name!r} is not a dataclass", kind=InputTypeError
        )
    _registered[method.name] = method


def find(name: str) -> Method:
    """Return the method called `name`.

    Raises:
        InputError: no method has this name.
    """
    if name in _registered:
        return _registered[name]
    if name in BUILT_IN:
        built_in: Mapping[str, Method] = importlib.import_module("fastsr.evaluate.builtin").METHODS
        return built_in[name]
    raise input_error("method", name, "is unknown", f"choose one of {', '.join(names())}")


def names() -> list[str]:
    """Return the names of all methods: the built-in ones, then the registered ones."""
    return list(dict.fromkeys([*BUILT_IN, *_registered]))
