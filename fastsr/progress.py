"""The bar that shows how far work has come."""

from __future__ import annotations

import sys
from typing import Any

from tqdm.auto import tqdm


def progress_bar(name: str, unit: str, *, shown: bool, scaled: bool = False) -> Any:
    """Return a tqdm bar, which shows itself only where somebody looks: on a terminal, or in a notebook.

    Args:
        name: of the work.
        unit: of what is counted.
        shown: False for no bar anywhere.
        scaled: whether counts are written with k and M.
    """
    # A notebook's kernel has no terminal.
    looked_at = "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
    return tqdm(desc=name, unit=unit, unit_scale=scaled, disable=not (shown and looked_at))


def print_beside_bars(line: str, *, err: bool = False) -> None:
    """Print a line to stdout, or to stderr, above the bars that a terminal shows."""
    tqdm.write(line, file=sys.stderr if err else sys.stdout)
