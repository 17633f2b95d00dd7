"""What only a GPU can check: kernels against their float64 definitions, and captured steps against plain ones."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

from benchmarks.report import ROOT


def run(folder: str = "tests/kernels") -> dict[str, Any]:
    """Run the tests marked `triton` in a folder and return how many passed and were skipped.

    Raises:
        ArithmeticError: one failed, or none was run.
    """
    return _pytest("-m", "triton", folder)


def graphs() -> dict[str, Any]:
    """Run the tests of the CUDA graphs of `fastsr.dip`, `sr3` and `pulse`; otherwise like `run`."""
    return _pytest(*(f"tests/fastsr/{folder}test_graph.py" for folder in ("", "sr3/", "pulse/")))


def _pytest(*arguments: str) -> dict[str, Any]:
    # A warning of other versions than those the tests were written with is no wrong result.
    options = ["-o", "filterwarnings=default", "-p", "no:cacheprovider", "-rs"]
    command = [sys.executable, "-m", "pytest", *options, *arguments]
    tests = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(tests.stdout)
    counts = {name: int(count) for count, name in re.findall(r"(\d+) (passed|failed|error|skipped)", tests.stdout)}
    if tests.returncode != 0 or not counts.get("passed"):
        raise ArithmeticError(f"pytest ended with status {tests.returncode}: {counts or 'no test was run'}")
    return {"passed": counts["passed"], "skipped": counts.get("skipped", 0)}
