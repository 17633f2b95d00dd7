"""The reference has every public name."""

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import fastsr
from tests.public_api import names_of, public_names

OPERATIONS = Path(__file__).resolve().parents[2] / "kernels" / "README.md"
MODULES = ("fastsr", "fastsr.metrics", "fastsr.consistency", "fastsr.nn", "fastsr.methods")


def test_every_public_name_is_in_the_reference():
    wanted = {}
    for home in MODULES:
        module = importlib.import_module(home)
        wanted |= {f"{home}.{name}": getattr(module, name) for name in names_of(module)}
    assert len(wanted) > len(fastsr.__all__)
    there = {id(thing) for thing in public_names().values()}
    missing = [name for name, thing in wanted.items() if id(thing) not in there and not isinstance(thing, ModuleType)]
    assert missing == []


def test_every_operation_is_in_the_reference():
    rows = re.findall(r"^\| (`\w+\.\w+`(?:, `\w+`)*) \|", OPERATIONS.read_text(), re.MULTILINE)
    names = {name.rpartition(".")[2] for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    assert len(names) >= 12
    assert names <= {thing.__name__ for thing in public_names().values() if inspect.isfunction(thing)}
