"""The commands that a model card prints, run as they are printed."""

from __future__ import annotations

import glob
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from benchmarks.report import ROOT

PROGRAMS = {"fastsr": (sys.executable, "-m", "fastsr"), "python": (sys.executable,)}


def commands_of(text: str, sections: tuple[str, ...]) -> list[str]:
    """Return the indented commands of sections of a Markdown text, lines that go on behind a backslash joined."""
    found = []
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        if title.strip() in sections:
            lines = re.sub(r"\\\n\s*", "", body).splitlines()
            found += [line.strip() for line in lines if re.match(rf" {{4}}({'|'.join(PROGRAMS)}) ", line)]
    return found


def words_of(command: str, folder: Path) -> list[str]:
    """Return the words of a command as a shell has them: variables and patterns replaced, the latter in `folder`.

    Raises:
        ValueError: a variable is not set, or a pattern matches nothing.
    """
    words: list[str] = []
    for word in shlex.split(command):
        value = os.path.expandvars(word)
        if "$" in value:
            raise ValueError(f"{value} is not set, which {command!r} needs")
        matches = sorted(glob.glob(value, root_dir=folder)) if glob.has_magic(value) else [value]
        if not matches:
            raise ValueError(f"{value} matches nothing, which {command!r} needs")
        words += matches
    return [*PROGRAMS[words[0]], *words[1:]]


def run(command: str, folder: Path) -> None:
    """Run a command in a folder, with this project's packages.

    Raises:
        CalledProcessError: it failed.
    """
    print(f"$ {command}", flush=True)
    path = os.pathsep.join(map(str, (ROOT, ROOT / "kernels")))
    subprocess.run(words_of(command, folder), check=True, cwd=folder, env={**os.environ, "PYTHONPATH": path})


def output_of(command: str) -> str | None:
    """Return what a command has behind -o; None where it has none."""
    words = shlex.split(command)
    return words[words.index("-o") + 1] if "-o" in words else None
