"""Progress bars."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(name: str, unit: str, *, shown: bool, scaled: bool = False) -> Any:
    """Return a tqdm bar, which is shown only on a terminal or in a notebook.

    Args:
        name: label of the bar.
        unit: what is counted, such as "step".
        shown: False hides the bar everywhere.
        scaled: whether counts are written with the prefixes k and M.
    """
    visible = _in_a_notebook() or (sys.stderr is not None and sys.stderr.isatty())
    return _Bar(desc=name, unit=unit, unit_scale=scaled, disable=not (shown and visible))


def _in_a_notebook() -> bool:
    """Whether this process is a notebook kernel, which has no terminal."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class _Bar(tqdm):  # type: ignore[misc]  # tqdm has no types
    """Draws nothing before the first update, so that a warning or an error can come first on its line."""

    def display(self, *arguments: Any, **options: Any) -> Any:
        """Draw the bar."""
        return super().display(*arguments, **options) if self.n else None

    def close(self) -> None:
        """End the bar; one that was never drawn leaves no line."""
        if not self.n:
            self.leave = False
        super().close()


def print_beside_bars(line: str, *, err: bool = False) -> None:
    """Print a line to stdout, or to stderr, above the progress bars of a terminal."""
    tqdm.write(line, file=sys.stderr if err else sys.stdout)
