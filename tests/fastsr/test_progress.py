import sys
from types import SimpleNamespace

import pytest

from fastsr.progress import print_beside_bars, progress_bar


class Terminal:
    def __init__(self, tty):
        self.isatty, self.text = lambda: tty, ""
        self.flush = lambda: None

    def write(self, text):
        self.text += text


@pytest.mark.parametrize(("shown", "tty", "visible"), [(True, True, True), (True, False, False), (False, True, False)])
def test_a_bar_is_there_where_somebody_looks(shown, tty, visible, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal(tty))
    with progress_bar("work", "px", shown=shown) as bar:
        assert bar.disable is not visible


@pytest.mark.parametrize(
    ("shell", "visible"), [(SimpleNamespace(kernel=1), True), (SimpleNamespace(), False), (None, False)]
)
def test_a_bar_is_there_in_a_notebook(shell, visible, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal(False))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    with progress_bar("work", "px", shown=True) as bar:
        assert bar.disable is not visible


def test_without_stderr_there_is_none(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert progress_bar("work", "px", shown=True).disable


@pytest.mark.parametrize("err", [False, True])
def test_a_line_is_not_written_into_a_bar(err, monkeypatch):
    terminal = Terminal(True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    with progress_bar("work", "px", shown=True) as bar:
        bar.update()
        bar.refresh()
        assert terminal.text.endswith("px/s]")
        print_beside_bars("a.png", err=err)
        assert "a.png" in terminal.text.replace("\r", "\n").split("\n")


def test_a_bar_is_drawn_once_something_is_done(monkeypatch):
    terminal = Terminal(True)
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bar("work", "px", shown=True) as bar:
        bar.set_postfix_str("nothing yet")
        print_beside_bars("Warning: odd", err=True)
    assert terminal.text.strip() == "Warning: odd"
    with progress_bar("work", "px", shown=True) as bar:
        bar.update()
    assert "work: 1px" in terminal.text
    assert terminal.text.endswith("\n")
