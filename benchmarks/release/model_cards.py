"""Run the commands that model cards print, and write the scores into the cards.

    FASTSR_DATA=... python -m benchmarks.release.model_cards NAME...    # such as srresnet-x4

Runs the commands in the sections Scores and Memorisation of fastsr/pretrained/NAME.md in a folder of their own. Then
rewrites the tables between marks and "parameters", "sha256" and "scores" of the front matter. If weights miss a bound
of `FLOORS`, their card is left as it was, and the exit status is 1.

An evaluation in evaluation/ROW/DATA gives the row ROW for the images DATA; underscores stand for spaces.
"""

from __future__ import annotations

import csv
import glob
import json
import math
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pulse import faces, nearest_faces
from benchmarks.report import RESULTS, ROOT, command_parser, write_between_marks
from benchmarks.sharpness import SHARPNESS
from fastsr.evaluate.table import MEAN
from fastsr.io.downloads import digest_of
from fastsr.io.files import atomic_write
from fastsr.pretrained import FENCE, FOLDER
from fastsr.sr3.checkpoints import load as load_sr3
from fastsr.srgan.checkpoints import load as load_srgan
from fastsr.stylegan.checkpoints import load as load_pulse

PROGRAMS = {"fastsr": (sys.executable, "-m", "fastsr"), "python": (sys.executable,)}


def commands_of(text: str, sections: tuple[str, ...]) -> list[str]:
    """Return the indented commands of sections of a Markdown text, lines that go on behind a backslash joined."""
    found = []
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        if title.strip() in sections:
            lines = re.sub(r"\\\n\s*", "", body).splitlines()
            found += [line.strip() for line in lines if re.match(rf" {{4}}({'|'.join(PROGRAMS)}) ", line)]
    return found


def words_of(command: str, folder: Path) -> list[str]:
    """Return the words of a command as a shell has them: variables and patterns replaced, the latter in `folder`.

    Raises:
        ValueError: a variable is not set, or a pattern matches nothing.
    """
    words: list[str] = []
    for word in shlex.split(command):
        value = os.path.expandvars(word)
        if "$" in value:
            raise ValueError(f"{value} is not set, which {command!r} needs")
        matches = sorted(glob.glob(value, root_dir=folder)) if glob.has_magic(value) else [value]
        if not matches:
            raise ValueError(f"{value} matches nothing, which {command!r} needs")
        words += matches
    return [*PROGRAMS[words[0]], *words[1:]]


def run_command(command: str, folder: Path) -> None:
    """Run a command in a folder, with this project's packages.

    Raises:
        CalledProcessError: it failed.
    """
    print(f"$ {command}", flush=True)
    path = os.pathsep.join(map(str, (ROOT, ROOT / "kernels")))
    subprocess.run(words_of(command, folder), check=True, cwd=folder, env={**os.environ, "PYTHONPATH": path})


def output_of(command: str) -> str | None:
    """Return what a command has behind -o; None where it has none."""
    words = shlex.split(command)
    return words[words.index("-o") + 1] if "-o" in words else None


Figures = dict[tuple[str, str], dict[str, float]]
"""For the name of some pictures and that of a row, each measure."""
MEASURES = {
    "reached": ("eps reached, %", "eps reached, %", 0),
    "psnr_y": ("PSNR Y, dB", "PSNR", 2),
    "ssim": ("SSIM", "SSIM", 4),
    "lr_psnr": ("LR-PSNR, dB", None, 1),
    "niqe": ("NIQE", "NIQE", 2),
    "detail": ("detail", None, 2),
    "shift_hr": ("colour shift from HR", None, 2),
    "shift_lr": ("colour shift from LR", None, 2),
}
"""What each measure is called in the table, and in the front matter where it is there, and its digits.

The most telling one comes first.
"""


def read_figures(commands: Iterable[str], folder: Path) -> Figures:
    """Return what the evaluations among `commands`, run in `folder`, wrote, and `benchmarks.sharpness` of them."""
    found: Figures = {}
    for command in commands:
        output = output_of(command)
        if command.startswith("fastsr evaluate ") and output is not None:
            place = folder / output
            row, data = (part.replace("_", " ") for part in place.parts[-2:])
            found[data, row] = _evaluated(place)
    return found


def _evaluated(place: Path) -> dict[str, float]:
    with open(place / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    if rows[-1]["image"] != MEAN:
        raise ArithmeticError(f"{place} has no mean over all pictures: {rows[-1]['image']}")
    figures = {key: float(rows[-1][key]) for key in ("psnr_y", "ssim", "lr_psnr")}
    looks = place / SHARPNESS
    return figures | (json.loads(looks.read_text()) if looks.exists() else {})


def figures_table(figures: Figures) -> str:
    """Return all figures in Markdown, with a column for each measure that there is."""
    columns = [key for key in MEASURES if any(key in row for row in figures.values())]
    lines = [f"| pictures | | {' | '.join(MEASURES[key][0] for key in columns)} |", "|---" * (2 + len(columns)) + "|"]
    for (data, row), values in figures.items():
        cells = [f"{values[key]:.{MEASURES[key][2]}f}" if key in values else "" for key in columns]
        lines.append(f"| {data} | {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def reached_table(rows: Iterable[Mapping[str, Any]], eps: float) -> str:
    """Return the rows of `pulse_faces` in Markdown, but for the seconds, which are those of one machine on one day."""
    lines = [
        f"| from | starts | eps = {eps:g} reached | median step | PSNR Y, dB | bicubic, dB |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['side']}x{row['side']}, x{row['factor']} | {row['restarts']} "
            f"| {row['reached']} of {row['pictures']} | {row['steps']:g} "
            f"| {row['psnr_y']:.2f} | {row['psnr_y_bicubic']:.2f} |"
        )
    return "\n".join(lines)


def scores(figures: Figures, name: str) -> Mapping[str, Mapping[str, float]]:
    """Return the rows of the weights `name` for the front matter.

    What a row has behind the name, such as "as drawn", goes behind that of the pictures.
    """
    found = {}
    for (data, row), values in figures.items():
        if row.split()[0] == name:
            own = {
                title: round(values[key], digits)
                for key, (_, title, digits) in MEASURES.items()
                if title is not None and key in values and math.isfinite(values[key])
            }
            found[", ".join(filter(None, (data, row.partition(" ")[2])))] = own
    return found


@dataclass(frozen=True)
class Floor:
    """A bound on a figure.

    Attributes:
        data: the pictures.
        measure: a key of `MEASURES`.
        least: what the figure is to be at least.
        most: what it is to be at most.
        than: the row whose figure is taken off before; None for none.
    """

    data: str
    measure: str
    least: float | None = None
    most: float | None = None
    than: str | None = None

    def missed(self, figures: Figures, name: str) -> str | None:
        """Return in words that weights do not keep it; None where they do.

        Raises:
            KeyError: there is no such figure.
        """
        value = figures[self.data, name][self.measure]
        if self.than is not None:
            value -= figures[self.data, self.than][self.measure]
        if (self.least is None or value >= self.least) and (self.most is None or value <= self.most):
            return None
        bound = f"at least {self.least}" if self.least is not None else f"at most {self.most}"
        beside = "" if self.than is None else f" more than {self.than}"
        return f"{name} on {self.data}: {self.measure} {value:.4f}{beside}, to be {bound}"


FACES = "val faces x8"
EXACT = 60.0
"""LR-PSNR from which on a result agrees with its input in all but the rounding of its own 8 bits."""
FLOORS: dict[str, tuple[Floor, ...]] = {
    "srresnet-x4": (Floor("Set5 x4", "psnr_y", least=30.9), Floor("Set14 x4", "psnr_y", least=27.7)),
    "srresnet-x2": (Floor("Set5 x2", "psnr_y", least=36.5),),
    "srgan-x4": (
        Floor("Set5 x4", "psnr_y", least=29.4),
        Floor("Set14 x4", "niqe", most=0, than="srresnet-x4"),
        Floor("Set14 x4", "detail", least=0.05, than="srresnet-x4"),
    ),
    "sr3-faces-x8": (
        Floor(FACES, "psnr_y", least=-0.5, than="bicubic"),
        Floor(FACES, "detail", least=0.2, than="bicubic"),
        Floor(FACES, "lr_psnr", least=EXACT),
        Floor(FACES, "shift_lr", most=0.5),
    ),
    "faces-64": (Floor(FACES, "reached", least=90),),
    "faces-128": (Floor(FACES, "reached", least=90),),
}


def missed(figures: Figures, name: str) -> list[str]:
    """Return in words each floor that the weights `name` do not keep."""
    return [words for floor in FLOORS[name] if (words := floor.missed(figures, name)) is not None]


SECTIONS = ("Scores", "Memorisation")
SCORES = ("<!-- scores -->", "<!-- end of scores -->")
MEMORISATION = ("<!-- memorisation -->", "<!-- end of memorisation -->")
LOADERS: dict[str, Callable[[Path], Any]] = {"srgan": load_srgan, "sr3": load_sr3, "pulse": load_pulse}


def measure(name: str, folder: Path, pretrained: Path = FOLDER, results: Path = RESULTS) -> list[str]:
    """Run the commands of a card in `folder` and write what they measured into it.

    Args:
        name: of the weights.
        folder: where evaluations go.
        pretrained: holds the card and the weights.
        results: holds what `pulse_faces` and `nearest_faces` measure.

    Returns:
        In words, each floor that was missed; the card is then left as it was.
    """
    card = pretrained / f"{name}.md"
    commands = commands_of(card.read_text(), SECTIONS)
    for command in commands:
        run_command(command, folder)
    figures = read_figures(commands, folder)
    tables = []
    if _asks_for(commands, faces):
        report = json.loads((results / "pulse_faces.json").read_text())
        figures = _with_reached(figures, report["rows"], name)
        tables.append(reached_table(report["rows"], report["eps"]))
    failures = missed(figures, name)
    if failures:
        return failures
    write_between_marks(card, SCORES, "\n\n".join([figures_table(figures), *tables]))
    if _asks_for(commands, nearest_faces):
        report = json.loads((results / "nearest_faces.json").read_text())
        write_between_marks(card, MEMORISATION, nearest_faces.table(report["rows"]))
    write_facts(card, figures)
    return []


def _asks_for(commands: list[str], module: Any) -> bool:
    return any(command.startswith(f"python -m {module.__name__} ") for command in commands)


def _with_reached(figures: Figures, rows: list[dict[str, Any]], name: str) -> Figures:
    """Return the figures with those of `pulse_faces` from one start, at the factors that were evaluated."""
    found = {key: dict(values) for key, values in figures.items()}
    for row in rows:
        key = f"val faces x{row['factor']}", name
        if row["restarts"] == 1 and key in found:
            found[key]["reached"] = 100 * row["reached"] / row["pictures"]
    return found


def write_facts(card: Path, figures: Figures) -> None:
    """Write into the front matter of a card what follows from its weights and from what was measured."""
    start, head, text = card.read_text().split(FENCE, 2)
    facts = json.loads(head)
    weights = card.with_suffix(".safetensors")
    network = LOADERS[facts["method"]](weights).network
    facts |= {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "sha256": digest_of(weights, "sha256"),
        "scores": scores(figures, facts["name"]),
    }
    with atomic_write(card) as file:
        file.write(f"{start}{FENCE}{json.dumps(facts, indent=1)}\n{FENCE}{text}".encode())


def main() -> None:
    """Measure the cards named."""
    parser = command_parser(__doc__)
    parser.add_argument("names", nargs="+", choices=FLOORS, metavar="NAME", help=", ".join(FLOORS))
    parser.add_argument("--folder", type=Path, help="keeps the evaluations, and goes on with those in it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as fresh:
        folder = arguments.folder or Path(fresh)
        folder.mkdir(parents=True, exist_ok=True)
        failures = [words for name in arguments.names for words in measure(name, folder)]
    if failures:
        raise SystemExit("\n".join(["not reached:", *failures]))


if __name__ == "__main__":
    main()
