"""The numbers of a fit, a search, a sampling or a training, step by step, and their curves."""

from __future__ import annotations

import math
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError
from .images import Picture, read
from .metrics import psnr
from .run_log import read_log

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor


class History:
    """Numbers by step: of a call that it is given to as `callback`, or of a training. A notebook shows their curves.

        history = fastsr.History()
        large = fastsr.dip("photo.png", callback=history)
        history.plot().savefig("curves.png")

    A second call begins it anew. On a GPU every step waits for its numbers.

    Args:
        original: what the result of `fastsr.dip`, `sr3` or `pulse` should be, a picture of any kind that
            `fastsr.images.read` takes. Of each step the PSNR against it is kept, as `fastsr.metrics.psnr` gives it, of
            what the callback gets: not yet made consistent with the input.

    Raises:
        InputError, InputTypeError, MissingFileError: the original cannot be used; a call, that it is not as large as
            the result.

    Attributes:
        rows: a dict for each step and picture, in the order in which they came: "step"; "picture", its number in a
            list or batch, of `fastsr.sr3` that of the sample; "psnr_fit" of `fastsr.dip`, the PSNR of the last output
            against the observation, in dB; "noise" of `sr3`, the standard deviation of the noise that the step began
            with; "l2" of `pulse`, the least squared error so far; "psnr_original". Of a training a dict for each line
            of its log: "step", "stage", and its numbers. `pandas.DataFrame(history.rows)` makes a table of them.
        title: of the plot.
    """

    def __init__(self, original: Any = None):
        self.rows: list[dict[str, Any]] = []
        self.title = ""
        self._original = None if original is None else read(original, "original")

    @classmethod
    def read(cls, run: str | os.PathLike[str]) -> History:
        """Return the history of a training, which may still go on.

        Args:
            run: the folder that `fastsr train` writes to.

        Raises:
            MissingFileError: it has no losses.jsonl.
            InputError: that cannot be read, or is damaged.
        """
        history = cls()
        history.rows, history.title = read_log(run), Path(run).resolve().name
        return history

    def __call__(self, step: int, image: Tensor, info: Any) -> None:
        """Keep the numbers of a step; the arguments are those of a callback of `fastsr.dip`, `sr3` or `pulse`."""
        first = info.picture if hasattr(info, "picture") else info.first
        if step == 1:  # of a second call, or of a picture that is done again in float32
            self.rows = [row for row in self.rows if row["picture"] < first]
        for index, pixels in enumerate(image):
            row: dict[str, Any] = {"step": step, "picture": first + index}
            if hasattr(info, "psnr"):
                row["psnr_fit"] = info.psnr
            if hasattr(info, "level"):
                row["noise"] = math.sqrt(1 - info.level**2)
            if hasattr(info, "l2"):
                row["l2"] = float(info.l2[index])
            if self._original is not None:
                row["psnr_original"] = _psnr(pixels, self._original)
            self.rows.append(row)

    def plot(self) -> Figure:
        """Return a matplotlib figure of the curves, a panel for each name.

        Scores have a star where they are best. A loss that spans more than a factor of five has a logarithmic axis.
        Stages of a training, and pictures, have colours of their own.

        Raises:
            InputError: there is nothing to draw, or no matplotlib.
        """
        if not self.rows:
            raise InputError("the history has no numbers yet: no step is done")
        if find_spec("matplotlib") is None:
            raise InputError("plot() needs matplotlib: pip install matplotlib")
        from .curves import draw

        return draw(self.rows, self.title)

    def __repr__(self) -> str:
        names = dict.fromkeys(name for row in self.rows for name in row)
        return f"<History of {len(self.rows)} rows: {', '.join(names)}>" if names else "<History without steps>"

    def _repr_png_(self) -> bytes | None:
        """Return the curves, for a notebook; None where there are none, or no matplotlib: then it shows the text."""
        if not self.rows or find_spec("matplotlib") is None:
            return None
        from .curves import draw

        return draw(self.rows, self.title)._repr_png_()


def _psnr(pixels: Tensor, original: Picture) -> float | list[float]:
    (height, width), (right_height, right_width) = pixels.shape[-2:], original.pixels.shape[-2:]
    if (height, width) != (right_height, right_width):
        raise InputError(
            f"original has {right_width}x{right_height} pixels and the result {width}x{height}; give one of that size"
        )
    return psnr(pixels, original)
