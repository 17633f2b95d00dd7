"""The virtual environment in which everything is measured: fastsr and its peers with one torch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.report import ROOT
from fastsr.files import atomic_write

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
CONSTRAINTS = ROOT / "constraints.txt"
LOG = "peers.json"
"""In the environment: for each package that could not be installed what pip said of it."""


def ready(folder: Path) -> Path:
    """Return the Python of the environment in `folder`, which is made where there is none.

    Raises:
        SystemExit: torch cannot be installed.
    """
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (folder / LOG).exists():
        print(f"making {folder}, once", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        refused = install(python, "torch")
        if refused is not None:
            raise SystemExit(f"torch cannot be installed into {folder}: {refused}")
        missing = {name: said for name in requirements() if (said := install(python, name)) is not None}
        with atomic_write(folder / LOG) as file:
            file.write((json.dumps(missing, indent=1) + "\n").encode())
    return python


def missing(folder: Path) -> dict[str, str]:
    """Return the packages that could not be installed into the environment, each with what pip said."""
    found: dict[str, str] = json.loads((folder / LOG).read_text())
    return found


def requirements() -> list[str]:
    """Return the packages of requirements.txt."""
    lines = (line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines())
    return [line for line in lines if line]


def install(python: Path, package: str) -> str | None:
    """Install a package by pip; return None, or what pip said where it failed."""
    print(f"installing {package}", flush=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "-c", str(CONSTRAINTS), package]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    errors = re.findall(r"^ERROR: (.+)$", done.stderr, re.MULTILINE)
    return errors[-1] if errors else f"pip ended with status {done.returncode}"
