"""docs/peers.md and its pictures, made of benchmarks/results/peers.json: ``python -m benchmarks.peers.document``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.report import RESULTS, ROOT, write_between_marks

from . import tables
from .plots import plot_dip, plot_resize

DOCS = ROOT / "docs"
PATH = RESULTS / "peers.json"


def write(report: dict[str, Any], docs: Path = DOCS) -> None:
    """Write what `report` has into peers.md, and draw its pictures; the parts that it has not stay as they are.

    Args:
        report: what benchmarks/results/peers.json holds.
        docs: the folder of peers.md, the pictures go into peers/ beside it.
    """
    page = docs / "peers.md"
    parts = report["parts"]
    write_between_marks(page, marks("packages"), tables.packages_table(report["packages"]))
    makers = {"metrics": tables.metrics_table, "networks": tables.networks_table, "dip": tables.dip_table}
    for name, table in makers.items():
        if name in parts:
            write_between_marks(page, marks(name), f"{table(parts[name])}\n\n{tables.where(parts[name])}")
    if "resize" in parts:
        part = parts["resize"]
        write_between_marks(page, marks("resize"), f"{tables.resize_table(part)}\n\n{tables.where(part)}")
        write_between_marks(page, marks("agreement"), tables.agreement_table(part))
        plot_resize(part, docs / "peers" / "resize.png")
    if "dip" in parts:
        plot_dip(parts["dip"], docs / "peers" / "dip.png")


def marks(name: str) -> tuple[str, str]:
    """Return the marks between which a table stands."""
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    write(json.loads(PATH.read_text()))


if __name__ == "__main__":
    main()
