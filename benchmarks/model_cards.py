"""Run the commands that model cards print, and put what they measured into the cards.

    FASTSR_DATA=... python -m benchmarks.model_cards NAME...    # such as srresnet-x4

Of fastsr/pretrained/NAME.md the commands of the sections Scores and Memorisation are run, in a folder of their own. The
tables between marks and "parameters", "sha256" and "scores" of the front matter are then written anew. Where weights
do not reach what `card_floors` says, nothing is written for them, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import nearest_faces, pulse_faces
from benchmarks.card_commands import commands_of, run
from benchmarks.card_floors import FLOORS, missed
from benchmarks.card_scores import Figures, reached_table, read, scores, table
from benchmarks.report import RESULTS, write_between_marks
from fastsr.checksums import digest_of
from fastsr.files import atomic_write
from fastsr.pretrained import FENCE, FOLDER
from fastsr.pulse.formats import load as load_pulse
from fastsr.sr3.formats import load as load_sr3
from fastsr.srgan.formats import load as load_srgan

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
        run(command, folder)
    figures = read(commands, folder)
    tables = []
    if _asks_for(commands, pulse_faces):
        report = json.loads((results / "pulse_faces.json").read_text())
        figures = _with_reached(figures, report["rows"], name)
        tables.append(reached_table(report["rows"], report["eps"]))
    failures = missed(figures, name)
    if failures:
        return failures
    write_between_marks(card, SCORES, "\n\n".join([table(figures), *tables]))
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
