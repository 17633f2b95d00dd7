import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output

from benchmarks import tour

MOST = 600_000
"""Bytes of the notebook."""


def kinds(notebook: NotebookNode) -> list[list[tuple[str, ...]]]:
    """What each cell shows: pictures, text, or what it prints."""
    return [
        [tuple(sorted(output.get("data", [output.get("name")]))) for output in cell.get("outputs", [])]
        for cell in notebook.cells
    ]


def test_every_cell_runs_without_a_warning_and_shows_what_the_notebook_has():
    kept = tour.nbformat.read(tour.NOTEBOOK, tour.VERSION)
    assert kinds(tour.executed()) == kinds(kept)
    assert sum("image/png" in kind for cell in kinds(kept) for kind in cell) == 6
    assert tour.NOTEBOOK.stat().st_size < MOST


def test_a_warning_is_refused():
    cell = new_code_cell(outputs=[new_output("stream", name="stderr", text="UserWarning: b")])
    with pytest.raises(RuntimeError, match="cell 1 of the notebook writes to stderr: UserWarning: b"):
        tour.tidy(new_notebook(cells=[cell]))
