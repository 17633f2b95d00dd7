"""The options of a method, a dataclass, as options of its command.

An option of a method is written in four places: the signature of the public function, its docstring, the call below it,
and the dataclass in ``fastsr/<method>/options.py``, of which `command_options` makes the options of the command.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, field, fields, make_dataclass
from typing import Any

if typing.TYPE_CHECKING:
    import click

SCALARS = (int, float, str, bool)

SEED = "Random seed."
DEVICE = "cpu, cuda or cuda:N.  [default: cuda if available]"
DTYPE = "Precision of the activations.  [default: bfloat16 if the device computes in it, else float32]"
CONSISTENCY = "Adjust the result so that its bicubic downscale equals the input."


def option(default: Any, text: str, *, kind: Any = None, flag: str | None = None, metavar: str | None = None) -> Any:
    """Return a field of a dataclass of options.

    Args:
        default: value where the option is not given.
        text: help.
        kind: type on the command line, where Python takes other types too; by default that of the field.
        flag: name on the command line; by default that of the field.
        metavar: placeholder of the value in the help.
    """
    return field(default=default, metadata={"help": text, "kind": kind, "flag": flag, "metavar": metavar})


def command_options(options: type) -> list[click.Option]:
    """Return a click option for every field of the dataclass `options` that has a help text.

    A field is an int, float, str, bool or Literal of texts, or one of these or None, or a tuple[..., ...] of one of
    them, whose option can be given several times; its metadata has the "help". A field without a default must be
    given; the help of a field whose default is None says what that means. A field whose default is an empty tuple is
    shown as required: it may also come from elsewhere than the command line.

    Raises:
        TypeError: a field has another type.
    """
    hints = typing.get_type_hints(options)
    described = [each for each in fields(options) if "help" in each.metadata]
    return [_option(each, scalar(each.metadata.get("kind") or hints[each.name], each.name)) for each in described]


def from_command(options: type, values: Mapping[str, Any]) -> Any:
    """Return an instance of the dataclass `options` from the values of a command that may have further options."""
    return options(**{each.name: values[each.name] for each in fields(options) if each.name in values})


def subset(options: type, names: Iterable[str], **texts: str) -> type:
    """Return a dataclass of the fields `names` of the dataclass `options`; `texts` are other help texts of fields."""
    hints, by_name = typing.get_type_hints(options), {each.name: each for each in fields(options)}
    chosen = []
    for name in names:
        metadata = dict(by_name[name].metadata)
        metadata["help"] = texts.get(name, metadata["help"])
        chosen.append((name, hints[name], field(default=by_name[name].default, metadata=metadata)))
    return make_dataclass(options.__name__, chosen, frozen=True, namespace={"__module__": options.__module__})


class Scalar(typing.NamedTuple):
    """The type of a field.

    Attributes:
        kind: int, float, str or bool.
        several: whether it is a tuple of them.
        optional: whether it may be None.
        choices: the only texts that are allowed; empty where any is.
    """

    kind: type
    several: bool = False
    optional: bool = False
    choices: tuple[str, ...] = ()


def scalar(hint: Any, name: str) -> Scalar:
    """Return the parts of the type `hint` of the field `name`.

    Raises:
        TypeError: it is none that `command_options` takes.
    """
    if typing.get_origin(hint) is tuple and typing.get_args(hint)[1:] == (...,):
        element = typing.get_args(hint)[0]
        if element in SCALARS:
            return Scalar(element, several=True)
    members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    kinds = [member for member in members if member is not type(None)]
    optional = len(kinds) < len(members)
    if len(kinds) == 1 and typing.get_origin(kinds[0]) is typing.Literal:
        return Scalar(str, optional=optional, choices=typing.get_args(kinds[0]))
    if len(kinds) != 1 or kinds[0] not in SCALARS:
        raise TypeError(
            f"option {name!r} has the type {hint}; use int, float, str, bool or a Literal, or one of these or None"
        )
    return Scalar(kinds[0], optional=optional)


def _option(described: Field[Any], kind: Scalar) -> click.Option:
    import click

    name = described.metadata.get("flag") or f"--{described.name.replace('_', '-')}"
    required = described.default is MISSING
    default: dict[str, Any] = {} if required else {"default": described.default}  # to click, None is a value as well
    return click.Option(
        [f"{name}/--no-{name[2:]}" if kind.kind is bool else name, described.name],
        type=click.Choice(kind.choices) if kind.choices else kind.kind,
        multiple=kind.several,
        required=required,
        show_default=not required and described.default not in (None, ()),
        metavar=described.metadata.get("metavar"),
        help=described.metadata["help"] + ("  [required]" if described.default == () else ""),
        **default,
    )
