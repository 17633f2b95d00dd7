"""Every kernel on this machine's GPU against its float64 definition: the tests marked `triton`."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

from benchmarks.report import ROOT


def run(folder: str = "tests/kernels") -> dict[str, Any]:
    """Run the marked tests of a folder and return how many passed and were skipped.

    Raises:
        ArithmeticError: one failed, or none was run.
    """
    # A warning of other versions than those the tests were written with is no wrong result.
    options = ["-m", "triton", "-o", "filterwarnings=default", "-p", "no:cacheprovider", "-rs"]
    command = [sys.executable, "-m", "pytest", *options, folder]
    tests = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(tests.stdout)
    counts = {name: int(count) for count, name in re.findall(r"(\d+) (passed|failed|error|skipped)", tests.stdout)}
    if tests.returncode != 0 or not counts.get("passed"):
        raise ArithmeticError(f"pytest ended with status {tests.returncode}: {counts or 'no test was run'}")
    return {"passed": counts["passed"], "skipped": counts.get("skipped", 0)}
