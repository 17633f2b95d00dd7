"""Progress bars."""

from __future__ import annotations

import sys
from collections.abc import Callable
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


class ProgressReporter:
    """Counts the steps of a call on its progress bar, and passes each step on to the user's callback.

    The work comes in batches of one or more images. Every batch takes the same number of steps, and a step may be done
    in parts, where the rows of a batch do not fit into memory at once.

    Attributes:
        bar: the tqdm bar, which counts the steps of single images.
        rows_done: number of rows (images, or samples of images) in the batches that are finished.

    Args:
        bar: see `progress_bar`. Its total is set where the number of images is known; else it grows with each batch.
        steps: number of steps for each image.
        callback: called after each step as ``callback(step, image, info)``.
    """

    def __init__(self, bar: Any, steps: int, callback: Callable[[int, Any, Any], None] | None = None):
        self.bar, self.rows_done = bar, 0
        self._steps, self._callback = steps, callback
        self._total_known = bar.total is not None
        self._images, self._steps_done = 0, 0.0

    def begin(self, images: int = 1) -> None:
        """Begin a batch of so many images."""
        self._images, self._steps_done = images, 0.0
        if not self._total_known:
            self.bar.total = (self.bar.total or 0) + images * self._steps

    def step(self, share: float, image: Any, state: Any) -> None:
        """Report a step of the batch, or a part of it.

        Args:
            share: share of the rows of the batch that did the step, from 0 (for a step that is repeated) to 1.
            image: what the callback is given as the image.
            state: what the callback is given as info: an object with `step`, the number of steps done, and `first`,
                the index of the first of its rows in the batch, which becomes its index in the whole call.
        """
        before = round(self._steps_done)
        self._steps_done += share * self._images
        self.bar.update(round(self._steps_done) - before)
        state.first += self.rows_done
        if self._callback is not None:
            self._callback(state.step, image, state)

    def show_tile(self, done: int, tiles: int) -> None:
        """Show how many of the tiles of a step are done."""
        self.bar.set_postfix_str(f"tile {done} of {tiles}")

    def end(self, rows: int) -> None:
        """End the batch, which had so many rows. The total shrinks by the steps that it did not need."""
        self.rows_done += rows
        self.bar.total -= self._images * self._steps - round(self._steps_done)
        self.bar.refresh()

    def finish(self) -> None:
        """End the call: images that could not be read leave the total."""
        self.bar.total = self.bar.n
        self.bar.refresh()
