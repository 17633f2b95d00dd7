"""Runs the command line, in this process or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner
from PIL import Image

from fastsr.cli import main

COMMAND = [sys.executable, "-c", "from fastsr.cli import main; main()"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def run(*arguments: object) -> tuple[int, str, str]:
    """Return the exit status, stdout and stderr; a traceback fails the test."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), "a traceback"
    return result.exit_code, result.stdout, result.stderr


def shell(*arguments: object) -> tuple[int, str, str]:
    """Do what `run` does in a process of its own."""
    done = subprocess.run([*COMMAND, *map(str, arguments)], env=ENVIRONMENT, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def error_of(*arguments: object, runner: Callable[..., tuple[int, str, str]] = run) -> str:
    """Run a command that prints nothing but one line of error and exits with status 2; return that line."""
    status, out, err = runner(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1
    return err


def opened(path: Path) -> Image.Image:
    """Return the picture of a file, which is closed."""
    with Image.open(path) as image:
        image.load()
        return image
