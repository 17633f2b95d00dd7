"""The dependencies flow one way, as CONTRIBUTING.md says: operations, shared files, methods, evaluate, commands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"fastsr": ROOT / "fastsr", "fastsr_kernels": ROOT / "kernels" / "fastsr_kernels"}
METHODS = {"dip", "srgan", "sr3", "pulse"}
LAYERS = {**dict.fromkeys(METHODS, 1), "evaluate": 2, "doctor": 2, "commands": 3, "cli": 4, "__main__": 5}


def files(package: str) -> dict[str, Path]:
    """Return the files of a package by dotted name, a folder's __init__ by the name of the folder."""
    found = {}
    for path in sorted(PACKAGES[package].rglob("*.py")):
        parts = (package, *path.relative_to(PACKAGES[package]).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


FILES = {package: files(package) for package in PACKAGES}
ALL = FILES["fastsr"] | FILES["fastsr_kernels"]


def imports(name: str, path: Path) -> Iterator[tuple[str, str]]:
    """Yield (file, name) for each name of the two packages that a file imports, at its top or inside a function."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")
            above = above[: len(above) + 1 - node.level] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield (inner, "") if inner in ALL else (source, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ""


def part(file: str) -> str:
    """Return what of fastsr a file belongs to: a folder, or the file itself."""
    return file.split(".")[1] if "." in file else ""


USES = {name: {(file, used) for file, used in imports(name, path) if file in ALL} for name, path in ALL.items()}


def test_the_kernels_know_nothing_of_fastsr():
    above = [(name, file) for name in FILES["fastsr_kernels"] for file, _ in USES[name] if file in FILES["fastsr"]]
    assert above == []


def test_no_file_takes_the_private_name_of_another():
    private = [
        (name, file, used)
        for name, uses in USES.items()
        for file, used in uses
        if used.startswith("_") and used != "__version__"
    ]
    assert private == []


def test_no_layer_knows_of_one_above_it_and_no_method_of_another():
    wrong = [
        (name, file)
        for name in FILES["fastsr"]
        if name != "fastsr"
        for file, _ in USES[name]
        if part(file) != part(name)
        and (LAYERS.get(part(file), 0) > LAYERS.get(part(name), 0) or {part(file), part(name)} <= METHODS)
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_depends_on_itself(package):
    graph = {
        name: {file for file, _ in USES[name] if file in FILES[package] and file not in (name, package)}
        for name in FILES[package]
        if name != package
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" > ".join(error.args[1]))
