"""The pictures of docs/peers.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastsr.files import atomic_write

from . import resize


def plot_resize(part: dict[str, Any], path: Path) -> None:
    """Draw the times of resizing, a panel for each size and direction."""
    import matplotlib.pyplot as plt

    cases = list(dict.fromkeys((row["case"], row["side"]) for row in part["rows"]))
    names = list(dict.fromkeys(row["rival"] for row in part["rows"]))
    figure, axes = plt.subplots(1, len(cases), figsize=(3.2 * len(cases) + 2, 0.3 * len(names) + 1.2), sharey=True)
    for panel, (case, side) in zip([axes] if len(cases) == 1 else axes, cases, strict=True):
        rows = {row["rival"]: row for row in part["rows"] if (row["case"], row["side"]) == (case, side)}
        shown = [name for name in names if name in rows]
        colours = ["tab:orange" if name.startswith("fastsr") else "tab:blue" for name in shown]
        milliseconds = [1e3 * rows[name]["seconds"] for name in shown]
        panel.scatter(milliseconds, [names.index(name) for name in shown], color=colours, zorder=2)
        scale = 1 / resize.FACTOR if case == "down" else resize.FACTOR
        panel.set(title=f"{side} to {round(scale * side)}", xscale="log", xlabel="milliseconds")
        panel.grid(alpha=0.3)
        panel.set_yticks(range(len(names)), names)
    axes_of_names = axes if len(cases) == 1 else axes[0]
    axes_of_names.invert_yaxis()
    _write(figure, path)


def plot_dip(part: dict[str, Any], path: Path) -> None:
    """Draw PSNR over the seconds of a fit, a panel for each picture."""
    import matplotlib.pyplot as plt

    pictures = list(part["bicubic"])
    figure, axes = plt.subplots(1, len(pictures), figsize=(4.5 * len(pictures), 3.6))
    for panel, picture in zip([axes] if len(pictures) == 1 else axes, pictures, strict=True):
        for row in part["rows"]:
            if row["picture"] == picture:
                seconds, psnr = zip(*row["curve"], strict=True)
                panel.plot(seconds, psnr, label=row["rival"])
        panel.axhline(part["bicubic"][picture], color="grey", linestyle=":", label="bicubic")
        panel.set(title=picture, xlabel="seconds", ylabel="PSNR on Y, dB")
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small")
    _write(figure, path)


def _write(figure: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=110)
    plt.close(figure)
