"""Count files, lines, imports and loaded modules of a checkout.

    python -m benchmarks.release.structure          # this checkout
    python -m benchmarks.release.structure ROOT     # another one, for instance a worktree of an older commit

Prints a Markdown table. The code of ROOT is imported in processes of its own; this checkout's fastsr is not used.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.report import ROOT, command_parser

SHORT = 70
"""Files with fewer lines count as short."""
PACKAGES = {"fastsr": "fastsr", "kernels/fastsr_kernels": "fastsr_kernels"}
"""Folders and the names that their modules begin with."""
CALLS = {
    "dip": "fastsr.dip(image, factor=2, steps=2, progress=False)",
    "srgan": "fastsr.srgan(image, factor=4, weights='srgan-x4', progress=False)",
    "sr3": "fastsr.sr3(image, factor=8, weights='sr3-faces-x8', steps=2, progress=False)",
    "pulse": "fastsr.pulse(image, weights='faces-64', steps=2, progress=False)",
}
"""A call of each method on `image`, uint8 (16, 16, 3)."""
PROGRAM = """
import sys, warnings
import numpy as np
warnings.simplefilter("ignore")
import fastsr
image = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype("uint8")
{call}
print(sum(name.partition(".")[0] in ("fastsr", "fastsr_kernels") for name in sys.modules))
"""


def python_files(root: Path) -> list[Path]:
    """Return the Python files that git tracks in a checkout; outside a repository, all of them."""
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "*.py"], capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        paths = [root / line for line in listed.stdout.splitlines()]
        return [path for path in paths if path.exists()]
    return sorted(root.rglob("*.py"))


def count_lines(path: Path) -> int:
    """Return the number of lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def is_short_by_nature(path: Path) -> bool:
    """Return whether a file is a package's `__init__` or `__main__`, a settings or options file, or a command."""
    return path.stem.startswith("__") or path.stem.endswith(("settings", "options")) or path.parent.name == "commands"


def module_imports(root: Path) -> dict[str, set[str]]:
    """Return for each module of the packages those modules of the packages that it imports when it is loaded."""
    modules = {}
    for folder, name in PACKAGES.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            modules[".".join([name, *(parts[:-1] if parts[-1] == "__init__" else parts)])] = path
    return {name: set(_imports(name, path, set(modules))) - {name} for name, path in modules.items()}


def _imports(name: str, path: Path, modules: set[str]) -> Iterator[str]:
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in _statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            parent = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*parent, *([node.module] if node.module else [])])
            for alias in node.names:
                yield from [each for each in (f"{base}.{alias.name}", base) if each in modules][:1]


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements that run when a module is loaded: neither those of functions nor for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        yield from _statements(node)


def count_floors(imports: dict[str, set[str]]) -> int:
    """Return the number of modules in the longest chain of imports; what closes a circle does not count."""
    floors: dict[str, int] = {}

    def floor(name: str, above: tuple[str, ...]) -> int:
        if name not in floors:
            below = [floor(each, (*above, name)) for each in imports[name] if each not in above]
            floors[name] = 1 + max(below, default=0)
        return floors[name]

    return max(floor(name, (name,)) for name in imports)


def count_loaded(root: Path, call: str) -> int | None:
    """Return how many modules of the packages a call loads; None where it fails, which is printed."""
    path = os.pathsep.join([str(root), str(root / "kernels")])
    command = [sys.executable, "-c", PROGRAM.format(call=call)]
    child = subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    if child.returncode != 0:
        print(f"{call}: {child.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return int(child.stdout.splitlines()[-1])


def measure(root: Path) -> dict[str, object]:
    """Return what is counted, by what the table calls it."""
    files = {path: count_lines(path) for path in python_files(root)}
    package = {path: lines for path, lines in files.items() if path.is_relative_to(root / "fastsr")}
    benchmarks = {path: lines for path, lines in files.items() if path.is_relative_to(root / "benchmarks")}
    short = [path for path, lines in package.items() if lines < SHORT]
    outside = [lines for path, lines in files.items() if not path.is_relative_to(root / "tests")]
    return {
        "Python files of fastsr": len(package),
        "median length of a file of fastsr, lines": f"{median(package.values()):g}",
        f"files of fastsr with fewer than {SHORT} lines": len(short),
        "of these, no `__init__`, settings, options or command": sum(not is_short_by_nature(path) for path in short),
        "modules directly in fastsr/": sum(path.parent == root / "fastsr" for path in package),
        "Python files of kernels": sum(path.is_relative_to(root / "kernels") for path in files),
        "Python files of benchmarks": len(benchmarks),
        "lines of benchmarks": sum(benchmarks.values()),
        "lines of Python outside tests": sum(outside),
        "import floors of fastsr and fastsr_kernels": count_floors(module_imports(root)),
        **{f"modules that a call of {name} loads": count_loaded(root, call) for name, call in CALLS.items()},
    }


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("root", type=Path, nargs="?", default=ROOT, metavar="ROOT", help="default: this checkout")
    found = measure(parser.parse_args().root.resolve())
    print("\n".join(["| | |", "|---|---|", *(f"| {what} | {value} |" for what, value in found.items())]))


if __name__ == "__main__":
    main()
