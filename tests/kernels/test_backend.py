"""What all operations share."""

import subprocess
import sys

import torch

from fastsr_kernels.backend import constant_result


def test_a_constant_result_is_marked_as_torch_marks_it():
    def ours():
        """Do nothing."""

    def theirs():
        """Do nothing."""

    assert vars(constant_result(ours)) == vars(torch.compiler.assume_constant_result(theirs))


def test_the_compiler_is_not_imported():
    program = "import sys, fastsr_kernels.resample; sys.exit('torch._dynamo' in sys.modules)"
    subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {program}"], check=True)
