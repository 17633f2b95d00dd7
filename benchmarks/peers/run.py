"""The measurement of parts, in the environment that `venv.ready` makes: ``python -m benchmarks.peers.run PART...``."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.report import FORMAT, data_folder, environment, save

from . import dip, document, metrics, networks, resize
from .packages import state
from .venv import missing, requirements

PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "resize": resize.measure,
    "metrics": metrics.measure,
    "networks": networks.measure,
    "dip": dip.measure,
}
OTHER_LOAD = 0.5
"""Beside the load of the threads that measure: what is more counts as other work."""


def measure(name: str, data: Path, path: Path = document.PATH) -> dict[str, Any]:
    """Measure a part and write it to the results at once, beside the parts that are there; return all of them.

    Args:
        name: of `PARTS`.
        data: the folder of test pictures.
        path: of the results.
    """
    begun = os.getloadavg()[0]
    where = environment(torch.device("cpu"))
    found = PARTS[name](data)
    load = [begun, os.getloadavg()[0]]
    report: dict[str, Any] = {"format": FORMAT, "packages": {}, "parts": {}}
    if path.exists():
        report = json.loads(path.read_text())
    busy = max(load) > torch.get_num_threads() + OTHER_LOAD
    report["parts"][name] = {**where, "load": load, "busy": busy, **found}
    save(path, report)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--venv", type=Path, required=True, help="the folder of the environment")
    arguments = parser.parse_args()
    data = data_folder("Set5, Set14, niqe and weights")
    packages = state(requirements(), missing(arguments.venv))
    for name in arguments.parts:
        print(f"measuring {name}", flush=True)
        report = measure(name, data)
        report["packages"] = packages
        save(document.PATH, report)
        document.write(report)


if __name__ == "__main__":
    main()
