"""The numbers of a fit, a search, a sampling or a training, step by step, and their curves."""

from __future__ import annotations

import math
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..images import Picture, read
from ..metrics import psnr
from .run_log import read_log

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor


class History:
    """Records the numbers of every step of a call, as its `callback`, or of a training. A notebook shows their curves.

        history = fastsr.History()
        result = fastsr.dip("photo.png", callback=history)
        history.plot().savefig("curves.png")

    A second call starts it over. On a GPU every step waits for its numbers.

    Args:
        original: the ground truth of the result of `fastsr.dip`, `sr3` or `pulse`, an image of any kind that
            `fastsr.images.read` takes. With it, the PSNR of each step is recorded, by `fastsr.metrics.psnr`, of the
            image that the callback gets: before it is made consistent with the input.

    Raises:
        InputError, InputTypeError, MissingFileError: the original cannot be used, or in a call its size is not that of
            the result.

    Attributes:
        rows: a dict for each step and image, in the order of the calls: "step"; "picture", the number of the image in a
            list or batch, for `fastsr.sr3` that of the sample; "psnr_fit" for `fastsr.dip`, the PSNR of the last output
            against the observation, in dB; "noise" for `sr3`, the standard deviation of the noise before the step;
            "l2" for `pulse`, the least squared error so far; "psnr_original", in dB. For a training a dict for each
            line of its log: "step", "stage", and its numbers. `pandas.DataFrame(history.rows)` makes a table of them.
        title: title of the plot.
    """

    def __init__(self, original: Any = None):
        self.rows: list[dict[str, Any]] = []
        self.title = ""
        self._original = None if original is None else read(original, "original")

    @classmethod
    def read(cls, run: str | os.PathLike[str]) -> History:
        """Return the history of a training, which may still be running.

        Args:
            run: the folder that `fastsr train` writes to.

        Raises:
            MissingFileError: the folder has no losses.jsonl.
            InputError: the file cannot be read, or is damaged.
        """
        history = cls()
        history.rows, history.title = read_log(run), Path(run).resolve().name
        return history

    def __call__(self, step: int, image: Tensor, info: Any) -> None:
        """Record the numbers of a step; the arguments are those of a callback of `fastsr.dip`, `sr3` or `pulse`."""
        first = info.picture if hasattr(info, "picture") else info.first
        if step == 1:  # a second call, or an image that is repeated in float32
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

        A star marks the best value of a score. A loss whose values span more than a factor of five has a logarithmic
        axis. Each stage of a training, and each image, has its own colour.

        Raises:
            InputError: there is nothing to draw, or matplotlib is not installed.
        """
        if not self.rows:
            raise InputError("the history has no numbers yet: no step has been done")
        if find_spec("matplotlib") is None:
            raise InputError("plot() needs matplotlib: pip install matplotlib")
        from .curves import draw_curves

        return draw_curves(self.rows, self.title)

    def __repr__(self) -> str:
        names = dict.fromkeys(name for row in self.rows for name in row)
        return f"<History of {len(self.rows)} rows: {', '.join(names)}>" if names else "<History without steps>"

    def _repr_png_(self) -> bytes | None:
        """Return the curves for a notebook; None without steps or matplotlib: it then shows the `repr`."""
        if not self.rows or find_spec("matplotlib") is None:
            return None
        from .curves import draw_curves

        return draw_curves(self.rows, self.title)._repr_png_()


def _psnr(pixels: Tensor, original: Picture) -> float | list[float]:
    """Return the PSNR in dB of pixels (C, H, W)."""
    (height, width), (original_height, original_width) = pixels.shape[-2:], original.pixels.shape[-2:]
    if (height, width) != (original_height, original_width):
        raise InputError(
            f"original has {original_width}x{original_height} pixels and the result {width}x{height}; give an original "
            "of the result's size"
        )
    return psnr(pixels, original)
