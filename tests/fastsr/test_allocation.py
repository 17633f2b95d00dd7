import subprocess
import sys

import pytest

from fastsr.allocation import freed_memory_kept

PAGES = """
import resource
import torch
from fastsr.allocation import freed_memory_kept
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.empty(2**24).fill_(1)  # 64 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1])
usual = faults()
before = resident()
with freed_memory_kept():
    faults()
    with freed_memory_kept():
        pass
    kept = faults()
print(usual, kept, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_memory_is_kept_and_then_given_back():
    run = subprocess.run([sys.executable, "-c", PAGES], stdout=subprocess.PIPE, check=True)
    usual, kept, left = map(int, run.stdout.split())
    pages = 2**26 // 4096
    assert usual > 5 * pages  # each allocation is mapped anew
    assert kept < pages / 10
    assert left < pages / 2


def test_an_exception_passes():
    with freed_memory_kept(), pytest.raises(KeyError), freed_memory_kept():
        raise KeyError
