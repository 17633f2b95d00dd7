"""Curves of what `history.History` has; this needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from .run_log import SCORE

TITLES = {
    "val_psnr": "validation: PSNR, dB",
    "val_ssim": "validation: SSIM",
    "val_consistency": "validation: consistency, dB",
    "val_neg_swd": "validation: -SWD",
    "psnr_original": "PSNR against the original, dB",
    "psnr_fit": "PSNR of the fit, dB",
    "l2": "least squared error so far",
    "noise": "standard deviation of the noise",
    "rate": "learning rate",
}
"""What curves are called that are no losses; those have the names of the log."""
SCORES = (SCORE, "psnr_original")
"""What names begin with of what is good where it is large."""
LINEAR = ("psnr_fit", "noise", "rate", "p", "r_t")
"""What else has a linear axis, however much it spans."""
LEAST_SPAN = 5
"""The largest over the smallest value, from which on the axis of others is logarithmic."""
NOT_DRAWN = ("step", "stage", "picture")
PER_ROW = 3
PANEL = (4, 2.5)
"""The size of a panel, in inches."""
DPI = 80
MARKED = 40
"""Points of a curve that are marked, at the most; more make a line."""
TICKS = 5
"""Steps with a number, at the most."""
NAMED = 6
"""Stages or pictures with a name, at the most."""
SCORED = 2
"""Those whose best value has room in a title."""

Rows = Sequence[Mapping[str, Any]]


class Curves(Figure):
    """A figure that a notebook shows, though pyplot knows nothing of it."""

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def draw(rows: Rows, title: str) -> Curves:
    """Return a figure with a panel for each number that the rows have, but for a learning rate that never changes."""
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in NOT_DRAWN]
    if len({row["rate"] for row in rows if "rate" in row}) == 1:
        names.remove("rate")
    names.sort(key=lambda name: (not name.startswith(SCORES), name == "rate"))
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row.get("stage") or f"picture {row['picture'] + 1}", []).append(row)
    width, height = min(len(names), PER_ROW), math.ceil(len(names) / PER_ROW)
    figure = Curves(figsize=(width * PANEL[0], height * PANEL[1]), dpi=DPI, layout="constrained")
    panels = list(figure.subplots(height, width, squeeze=False, sharex=True).flat)
    for panel, name in zip(panels, names, strict=False):
        _draw_panel(panel, name, list(groups.values()))
    for panel in panels[len(names) :]:
        panel.remove()
    figure.suptitle(title.encode("utf-8", "backslashreplace").decode(), parse_math=False)  # of a folder of any name
    figure.supxlabel("step", fontsize="medium")
    if 1 < len(groups) <= NAMED:
        lines = [Line2D([], [], color=f"C{number}") for number in range(len(groups))]
        figure.legend(lines, list(groups), loc="outside upper right", ncols=len(groups))
    return figure


def _draw_panel(panel: Axes, name: str, groups: Sequence[Rows]) -> None:
    """Draw a number of all groups of rows, each in a colour of its own."""
    drawn: list[tuple[int, float]] = []
    best: list[str] = []
    for number, rows in enumerate(groups):
        points = [(row["step"], row[name]) for row in rows if name in row]
        if not points:
            continue
        drawn += points
        marker = "." if len(points) <= MARKED else None
        panel.plot(*zip(*points, strict=True), color=f"C{number}", marker=marker, linewidth=1.2)
        if name.startswith(SCORES):
            step, value = max(points, key=lambda point: point[1])
            best.append(f"{value:.4g}")
            panel.plot(step, value, marker="*", markersize=10, color="black")
    values = [value for _, value in drawn]
    if not name.startswith(SCORES) and name not in LINEAR and 0 < LEAST_SPAN * min(values) < max(values):
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        panel.yaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter("{x:g}")
    title = TITLES.get(name, name)
    panel.set_title(f"{title} (best {', '.join(best)})" if 0 < len(best) <= SCORED else title, fontsize="medium")
    panel.tick_params(labelbottom=True)
    panel.xaxis.set_major_locator(MaxNLocator(TICKS, integer=True))
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.3)
