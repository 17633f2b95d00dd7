import sys

import pytest

from fastsr.progress import progress_bar


class Terminal:
    def __init__(self, tty):
        self.isatty = lambda: tty
        self.write = self.flush = lambda *text: None


@pytest.mark.parametrize(("shown", "tty", "visible"), [(True, True, True), (True, False, False), (False, True, False)])
def test_a_bar_is_there_where_somebody_looks(shown, tty, visible, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal(tty))
    with progress_bar("work", "px", shown=shown) as bar:
        assert bar.disable is not visible


def test_without_stderr_there_is_none(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert progress_bar("work", "px", shown=True).disable
