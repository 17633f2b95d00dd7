"""The options of a method, a dataclass, as options of its command."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

import click

SCALARS = (int, float, str, bool)


def command_options(options: type) -> list[click.Option]:
    """Return a click option for every field of the dataclass `options`.

    A field is an int, float, str or bool, or one of these or None, or a tuple[..., ...] of one of them, whose option
    can be given several times; its metadata has the "help". A field without a default must be given; one whose default
    is None says in its help what that means. A field whose default is an empty tuple is said to be required:
    it may also come from elsewhere than the command line.

    Raises:
        TypeError: a field has another type.
    """
    hints = typing.get_type_hints(options)
    return [_option(field, scalar(hints[field.name], field.name)) for field in fields(options)]


def from_command(options: type, values: Mapping[str, Any]) -> Any:
    """Return an instance of the dataclass `options` from the values of a command that may have further options."""
    return options(**{field.name: values[field.name] for field in fields(options)})


class Scalar(typing.NamedTuple):
    """The type of a field.

    Attributes:
        kind: int, float, str or bool.
        several: whether it is a tuple of them.
        optional: whether it may be None.
    """

    kind: type
    several: bool
    optional: bool


def scalar(hint: Any, name: str) -> Scalar:
    """Return what the type `hint` of the field `name` is.

    Raises:
        TypeError: it is none that `command_options` takes.
    """
    if typing.get_origin(hint) is tuple and typing.get_args(hint)[1:] == (...,):
        element = typing.get_args(hint)[0]
        if element in SCALARS:
            return Scalar(element, True, False)
    choices = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    kinds = [choice for choice in choices if choice is not type(None)]
    if len(kinds) != 1 or kinds[0] not in SCALARS:
        raise TypeError(f"option {name!r} has the type {hint}; use int, float, str or bool, or one of these or None")
    return Scalar(kinds[0], False, len(choices) > 1)


def _option(field: Field[Any], kind: Scalar) -> click.Option:
    name = field.name.replace("_", "-")
    required = field.default is MISSING
    default: dict[str, Any] = {} if required else {"default": field.default}  # to click, None is a value as well
    return click.Option(
        [f"--{name}/--no-{name}" if kind.kind is bool else f"--{name}", field.name],
        type=kind.kind,
        multiple=kind.several,
        required=required,
        show_default=not required and field.default not in (None, ()),
        help=field.metadata["help"] + ("  [required]" if field.default == () else ""),
        **default,
    )
