"""The bar that shows how far work has come."""

from __future__ import annotations

import sys
from typing import Any

# Of text, in notebooks too: tqdm.auto's widgets need ipywidgets, and do not follow a total that changes.
from tqdm import tqdm


def progress_bar(name: str, unit: str, *, shown: bool, scaled: bool = False) -> Any:
    """Return a tqdm bar, which shows itself only where somebody looks: on a terminal, or in a notebook.

    Args:
        name: of the work.
        unit: of what is counted.
        shown: False for no bar anywhere.
        scaled: whether counts are written with k and M.
    """
    looked_at = _in_a_notebook() or (sys.stderr is not None and sys.stderr.isatty())
    return _Bar(desc=name, unit=unit, unit_scale=scaled, disable=not (shown and looked_at))


def _in_a_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which has no terminal."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class _Bar(tqdm):  # type: ignore[misc]  # tqdm has no types
    """Draws nothing before something is done: a warning or an error comes first on its line."""

    def display(self, *arguments: Any, **options: Any) -> Any:
        """Draw it."""
        return super().display(*arguments, **options) if self.n else None

    def close(self) -> None:
        """End it; what was never drawn leaves no line."""
        if not self.n:
            self.leave = False
        super().close()


def print_beside_bars(line: str, *, err: bool = False) -> None:
    """Print a line to stdout, or to stderr, above the bars that a terminal shows."""
    tqdm.write(line, file=sys.stderr if err else sys.stdout)
