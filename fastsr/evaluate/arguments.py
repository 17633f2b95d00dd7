"""The arguments of `fastsr.evaluate.evaluate`, checked before the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

from ..checks import whole_number
from ..data.benchmarks import Sample
from ..errors import InputError, InputTypeError
from ..methods import Method
from .folder import BICUBIC, REFERENCE


def check_names(samples: Sequence[Sample]) -> None:
    """Refuse pictures whose results would have the file names of what belongs to another one.

    Raises:
        InputError: there are such pictures.
    """
    names = {sample.name for sample in samples}
    for name in sorted(names):
        for other in (f"{name}_{BICUBIC}", f"{name}_{REFERENCE}"):
            if other in names:
                raise InputError(f"data has the pictures {name!r} and {other!r}, whose results would be one file")


def check_factor(factor: Any) -> int:
    """Return `factor` when it is one that benchmarks have."""
    right = "a whole number of at least 2"
    value = whole_number("factor", factor, right)
    if value < 2:
        raise InputError(f"factor={factor} does not enlarge a picture; give {right}")
    return value


def check_options(method: Method, options: Any) -> Any:
    """Return the options to run `method` with, its defaults for None."""
    if options is None:
        required = [field.name for field in fields(method.options) if _is_required(field)]
        if required:
            raise InputError(f"options=None: method {method.name!r} needs {', '.join(required)}")
        return method.options()
    if not isinstance(options, method.options):
        raise InputTypeError(
            f"options={options!r} is a {type(options).__name__}; method {method.name!r} takes a "
            f"{method.options.__module__}.{method.options.__qualname__}"
        )
    return options


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING
