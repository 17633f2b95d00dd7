"""fastsr beside the packages that people use for the same work, measured on the CPU, each part in one run.

    FASTSR_DATA=... python -m benchmarks.peers                # all parts
    FASTSR_DATA=... python -m benchmarks.peers resize dip     # these alone; the others stay as they are

Writes benchmarks/results/peers.json, docs/peers.md and its pictures, after every part: what was stopped is gone on with
by naming the parts that are owed. The first call makes a virtual environment with the packages of requirements.txt.
Threads are those that torch takes: OMP_NUM_THREADS=1 for one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

from benchmarks.report import ROOT

from .venv import ready

PARTS = ("resize", "metrics", "networks", "dip")
"""Those of `run`, which needs packages that may be only in the environment to be made."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default: all of them")
    parser.add_argument(
        "--venv",
        type=Path,
        default=ROOT / "build" / "peers",
        help="where the packages are installed, by the first call (default: build/peers)",
    )
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; choose of {', '.join(PARTS)}")
    python = ready(arguments.venv)
    command = [str(python), "-m", "benchmarks.peers.run", *(arguments.parts or PARTS), "--venv", str(arguments.venv)]
    path = os.pathsep.join(map(str, (ROOT, ROOT / "kernels")))  # of this checkout, not of one that is installed
    raise SystemExit(subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}).returncode)


if __name__ == "__main__":
    main()
