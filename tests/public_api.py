"""The public interface as text: everything that the API reference documents, and the command line.

`make public-api` writes the snapshot, public_api.txt, that test_public_api.py compares with. What is public is what
docs/api lists; docs/stability.md says what that promises. It needs fastsr installed and nothing else.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Protocol

import click

SNAPSHOT = Path(__file__).with_name("public_api.txt")
REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "api"
LINE = 120


class Bare(str):
    """Text that is shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def main() -> None:
    if sys.argv[1:] == ["--write"]:
        SNAPSHOT.write_text(public_api(), encoding="utf-8")
    else:
        sys.stdout.write(public_api())


def public_api() -> str:
    """Return the whole interface, a paragraph for each name, in alphabetical order."""
    from fastsr.cli import main as command_line

    names = [_described(name, value) for name, value in sorted(public_names().items())]
    return "\n\n".join(names + list(_commands("fastsr", command_line))) + "\n"


def public_names() -> dict[str, Any]:
    """Return every object that the reference documents, by the name that users call it by."""
    found = {}
    for page in sorted(REFERENCE.glob("*.md")):
        for path, options in re.findall(r"^::: ([\w.]+)\n((?: +.*\n|\n(?= ))*)", page.read_text("utf-8") + "\n", re.M):
            heading = re.search(r"heading: ([\w.]+)", options)
            members = re.search(r"members: \[(.*)\]", options)
            value = _imported(path)
            if not isinstance(value, ModuleType):
                found[heading[1] if heading else path] = value
            else:
                names = re.split(r", *", members[1]) if members else names_of(value)
                found.update({f"{path}.{name}": getattr(value, name) for name in names})
    return found


def _imported(path: str) -> Any:
    """Return the module of that path, or else what its parent has by that name."""
    parent, _, name = path.rpartition(".")
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        return getattr(importlib.import_module(parent), name)


def names_of(module: ModuleType) -> list[str]:
    """Return the names of a module that are meant for others: `__all__`, or what it defines without an underscore."""
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    return list(getattr(module, "__all__", own))


def _described(name: str, value: Any) -> str:
    if isinstance(value, type):
        return "\n".join([_head(name, value), *_members(value)])
    if callable(value):
        return f"def {name}{_signature(value)}"
    return f"{name} = {value!r}"


def _head(name: str, cls: type) -> str:
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
    has_arguments = isinstance(vars(cls).get("__init__"), FunctionType) and Protocol not in cls.__bases__
    return f"class {name}({bases})" + (f"\n    {_signature(cls)}" if has_arguments else "")


def _members(cls: type) -> Iterator[str]:
    """Yield the methods and properties that a class defines by itself."""
    fields = getattr(cls, "__dataclass_fields__", {})
    for name, value in sorted(vars(cls).items()):
        if name in fields or (name.startswith("_") and name != "__call__"):
            continue
        if isinstance(value, (staticmethod, classmethod)):
            yield f"    {type(value).__name__} {name}{_signature(value.__func__)}"
        elif isinstance(value, FunctionType):
            yield f"    def {name}{_signature(value)}"
        elif inspect.isdatadescriptor(value) or hasattr(value, "__set_name__"):
            yield f"    property {name}"


def _signature(function: Any) -> str:
    """Return the arguments, their types and defaults, and the result; in lines of their own where one is too short."""
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=_type(parameter.annotation), default=_default(parameter.default))
        for parameter in signature.parameters.values()
    ]
    shown = signature.replace(parameters=parameters, return_annotation=_type(signature.return_annotation))
    if len(str(shown)) < LINE - 30:
        return str(shown)
    lines, kinds = [], [parameter.kind for parameter in parameters]
    for index, parameter in enumerate(parameters):
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.kind not in kinds[:index]:
            lines.append("*")
        lines.append(str(parameter))
    result = str(shown.replace(parameters=[]))
    return "\n        ".join(["(", *lines]) + f"\n    ){result[2:]}"


def _type(annotation: Any) -> Any:
    return Bare(annotation) if isinstance(annotation, str) else annotation


def _default(value: Any) -> Any:
    """Return a default as it is to be shown: a function by its name, for its address changes."""
    return Bare(value.__name__) if isinstance(value, FunctionType) else value


def _commands(path: str, command: click.Command) -> Iterator[str]:
    """Yield a paragraph for a command and for each below it."""
    yield "\n".join([f"$ {path}", *(f"    {_parameter(parameter)}" for parameter in command.params)])
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in sorted(command.list_commands(context)):
            below = command.get_command(context, name)
            assert below is not None
            yield from _commands(f"{path} {name}", below)


def _parameter(parameter: click.Parameter) -> str:
    """Return an argument or option: its names, what it takes, and its default where it has one of its own."""
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    choices = getattr(parameter.type, "choices", None)
    takes = "|".join(map(str, choices)) if choices else parameter.type.name
    flag = getattr(parameter, "is_flag", False)
    has_default = isinstance(parameter.default, (int, float, str, tuple)) and not flag
    marks = [
        "flag" if flag else takes,
        "required" if parameter.required else "",
        "several" if parameter.multiple or parameter.nargs != 1 else "",
        f"default {parameter.default!r}" if has_default else "",
    ]
    return f"{names}: {', '.join(filter(None, marks))}"


if __name__ == "__main__":
    main()
