"""The reference has every public name."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import yaml

import fastsr

ROOT = Path(__file__).resolve().parents[2]
ENTRY = re.compile(r"^::: (?P<name>\S+)\n(?P<options>(?:    .*\n)*)", re.MULTILINE)
MODULES = ("fastsr.metrics", "fastsr.consistency", "fastsr.nn", "fastsr.methods")


def documented() -> Iterator[object]:
    """Yield what docs/api has an entry of."""
    for page in (ROOT / "docs" / "api").glob("*.md"):
        for entry in ENTRY.finditer(page.read_text()):
            members = (yaml.safe_load(entry["options"]) or {}).get("options", {}).get("members")
            thing = found(entry["name"])
            yield thing
            for name in members or (public(thing) if isinstance(thing, ModuleType) else ()):
                yield getattr(thing, name)


def found(name: str) -> object:
    """Return a module, or what a module has."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, last = name.rpartition(".")
        return getattr(importlib.import_module(module), last)


def public(module: ModuleType) -> list[str]:
    """Return the names of the functions and classes of a module that are meant for others."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    own = (name for name, thing in vars(module).items() if getattr(thing, "__module__", None) == module.__name__)
    return [name for name in own if not name.startswith("_") and callable(getattr(module, name))]


def test_every_public_name_is_in_the_reference():
    wanted = {f"fastsr.{name}": getattr(fastsr, name) for name in fastsr.__all__}
    for home in MODULES:
        module = importlib.import_module(home)
        wanted |= {f"{home}.{name}": getattr(module, name) for name in public(module)}
    there = {id(thing) for thing in documented()}
    assert [name for name, thing in wanted.items() if id(thing) not in there] == []


def test_every_operation_is_in_the_reference():
    rows = re.findall(r"^\| (`\w+\.\w+`(?:, `\w+`)*) \|", (ROOT / "kernels" / "README.md").read_text(), re.MULTILINE)
    names = {name.rpartition(".")[2] for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    assert len(names) >= 12
    assert names <= {thing.__name__ for thing in documented() if inspect.isfunction(thing)}
