"""What functions say of their arguments, in the words of the command line: --scale 2 for scale=2."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ..errors import FastsrError

QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
PATH = rf"(?<!\w)(?:{QUOTED})(?!\w)"
"""It may look like an argument."""
PATTERN = re.compile(
    PATH + r"|\bfastsr\.(?P<command>\w+)(?:\((?:img|IN), (?P<arguments>(?:[^()]|\([^()]*\))*)\))?(?!\w|\.\w|\()"
    rf"|\b(?P<name>\w+)=(?P<value>{QUOTED}|\([^()]*\)|[\w+-]+(?:\.[\w+-]+)*)"
)
NAME = re.compile(rf"{PATH}|\b(?P<name>\w+)(?==)")
NONE = re.compile(r",? or None(?=[;,.]|$)")
"""What leaves an argument out, as an option is left out by itself."""
PLAIN = re.compile(r"'([\w./:@%+-]+)'")
"""What a shell takes without quotes."""


def spoken(message: str) -> str:
    """Return a message about arguments as one about the options of the command that runs.

    Functions become commands as well: of ``fastsr.resize(img, size=(8, 8))`` comes ``fastsr resize IN --size 8 8``.
    """
    context = click.get_current_context(silent=True)
    if context is None:
        return message
    commands: dict[str, click.Command] = getattr(context.find_root().command, "commands", {})
    return _spoken(NONE.sub("", message), context.command, commands)


@contextmanager
def renamed(**names: str) -> Iterator[None]:
    """Let errors give arguments the names of the command's: of ``renamed(model="niqe_model")`` comes --niqe-model."""
    try:
        yield
    except FastsrError as error:
        message = NAME.sub(lambda match: names.get(match["name"], match[0]), str(error))
        raise type(error)(message) from error


def _spoken(message: str, command: click.Command, commands: dict[str, click.Command]) -> str:
    options = {param.name: param for param in command.params if isinstance(param, click.Option)}

    def replaced(match: re.Match[str]) -> str:
        called, name = match["command"], match["name"]
        if called in commands:
            arguments = match["arguments"]
            rest = "" if arguments is None else f" IN {_spoken(arguments, commands[called], {})}"
            return f"`fastsr {called}{rest}`"
        return _option(options[name], match["value"]) if name in options else match[0]

    return PATTERN.sub(replaced, message)


def _option(option: click.Option, value: str) -> str:
    """Return an option as one types it: "--seed 3", "--no-consistency", or "no --seed" for None."""
    name = max(option.opts, key=len)
    if value == "None":
        return f"no {name}"
    if option.is_flag and value in ("True", "False"):
        off = max(option.secondary_opts, key=len, default=f"no {name}")
        return name if value == "True" else off
    plain = PLAIN.fullmatch(value)
    if plain:
        value = plain[1]
    elif value.startswith("("):
        value = ("," if option.nargs == 1 else " ").join(re.findall(r"[^(), ]+", value))
    return f"{name} {value}"
