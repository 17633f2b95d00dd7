"""Run docs/tour.ipynb, and keep what its cells show.

python -m benchmarks.tour    # needs nbclient and ipykernel, which come with '.[test]', and matplotlib
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from benchmarks.report import ROOT
from fastsr.files import atomic_write

NOTEBOOK = ROOT / "docs" / "tour.ipynb"
VERSION = 4
TIMEOUT = 600
"""Seconds for a cell."""


def executed(path: Path = NOTEBOOK) -> NotebookNode:
    """Return a notebook with what its cells show now, in folders of its own.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell ends with an error.
        RuntimeError: a cell writes to stderr, such as a warning.
    """
    notebook = nbformat.read(path, VERSION)
    with TemporaryDirectory() as folder:
        paths = [str(ROOT), str(ROOT / "kernels"), *filter(None, [os.environ.get("PYTHONPATH")])]
        settings = {"PYTHONPATH": os.pathsep.join(paths), "IPYTHONDIR": folder}
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, timeout=TIMEOUT, record_timing=False, resources=resources)
        client.execute(env={**os.environ, **settings})
    tidy(notebook)
    return notebook


def tidy(notebook: NotebookNode) -> None:
    """Drop what is twice in a notebook or differs from machine to machine; refuse what a cell wrote to stderr."""
    notebook.metadata.language_info = {"name": "python"}
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                raise RuntimeError(f"cell {number} of the notebook writes to stderr: {output['text']}")
            output.get("data", {}).pop("image/jpeg", None)  # PIL's pictures come as PNG too


def main() -> None:
    """Write the notebook with what its cells show."""
    with atomic_write(NOTEBOOK) as file:
        file.write((nbformat.writes(executed()) + "\n").encode())
    print(NOTEBOOK)


if __name__ == "__main__":
    main()
