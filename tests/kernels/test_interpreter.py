"""Every test marked `triton`, in Triton's interpreter, where there is no GPU (the rule is in conftest.py)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fastsr_kernels import backend

HERE = Path(__file__).parent
# How Triton 3.6's interpreter reads the bound of a loop; NumPy 2.4 has made an error of it.
ALLOWED = "ignore:Conversion of an array with ndim:DeprecationWarning"
FILES = sorted(path for path in HERE.glob("test_*.py") if "mark.triton" in path.read_text() and path != Path(__file__))
PROCESSES = 4
"""One for each file would take longer for their imports than for many a file's tests."""

pytestmark = [
    pytest.mark.skipif(torch.cuda.is_available(), reason="the marked tests run on the GPU"),
    pytest.mark.skipif(backend.triton is None, reason="Triton is not installed"),
    pytest.mark.skipif(backend.interpreted(), reason="this process is the interpreter already"),
]


@pytest.mark.parametrize("process", range(PROCESSES))
def test_in_interpreter(process):
    options = ["-m", "triton", "-W", ALLOWED, "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, *map(str, FILES[process::PROCESSES])]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=HERE.parents[1], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"[1-9]\d* passed", run.stdout), "no test was run:\n" + run.stdout
