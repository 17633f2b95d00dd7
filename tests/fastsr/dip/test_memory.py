"""The estimate of memory against what the process really takes."""

import os
import subprocess
import sys

import pytest
import torch

from fastsr.dip.memory import fit_memory
from fastsr.dip.network import HourglassConfig

STEP = """
import torch
from fastsr.dip.network import Hourglass, HourglassConfig
config, dtype = HourglassConfig((32,) * 5), getattr(torch, "{dtype}")
def step(side):
    net = Hourglass(config).to(memory_format=torch.channels_last)
    z = torch.rand(1, 32, side, side).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        net(z).sum().backward()
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
base = step(32)
print(step(512) - base)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory as Linux reports it")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_estimate_covers_the_peak_without_exaggerating(dtype):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    step = subprocess.run(
        [sys.executable, "-c", STEP.format(dtype=dtype)], stdout=subprocess.PIPE, env=environment, check=True
    )
    peak = int(step.stdout)
    estimate = fit_memory(HourglassConfig((32,) * 5), (512, 512), getattr(torch, dtype))
    assert 1.0 < estimate / peak < 2.0


def test_estimate_grows_with_the_area():
    config = HourglassConfig((16,) * 5)
    small, large = (fit_memory(config, (side, side), torch.float32) for side in (512, 1024))
    assert large / small == pytest.approx(4, rel=0.05)
