"""Several processes that share an evaluation."""

import csv
import json
import os
import subprocess
import sys

import pytest
import torch

from fastsr.errors import DeviceError
from fastsr.evaluate import evaluate
from fastsr.evaluate.ranks import Ranks, join

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]


def test_one_process_is_alone(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")  # as some clusters set it in jobs that torchrun did not start
    monkeypatch.delenv("RANK", raising=False)
    assert join() == Ranks(0, 1, 0)
    assert join().gather("value") == ["value"]
    assert not torch.distributed.is_initialized()


def test_each_process_takes_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert Ranks(3, 4, 1).device(None) == Ranks(3, 4, 1).device("cuda") == torch.device("cuda:1")
    assert Ranks(3, 4, 1).device("cuda:0") == torch.device("cuda:0")
    assert Ranks(3, 4, 1).device("cpu") == torch.device("cpu")
    assert Ranks(0, 1, 0).device(None) == torch.device("cuda")
    with pytest.raises(DeviceError, match="cuda:2"):
        Ranks(2, 4, 2).device(None)


SCRIPT = """
import sys
from fastsr.cli import main
from fastsr.evaluate import evaluate
data, out, *arguments = sys.argv[1:]
for protocol in ("rgb8", "matlab8", "rgb8"):
    found = evaluate("bicubic", data, factor=2, protocol=protocol, device="cpu", output=out + protocol)
    assert [row.image for row in found.rows] == ["a", "b", "c"]
main(arguments)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="torchrun")
def test_two_processes_give_the_results_of_one(photos, tmp_path):
    """Several times in one run: in calls, one of which goes on where another was, and then as a user types it."""
    (photos / "bad.png").write_text("no image")
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(SCRIPT)
    arguments = ["evaluate", "bicubic", "--data", photos, "--factor", "2", "--device", "cpu", "-o", out]
    done = subprocess.run(
        [sys.executable, *TORCHRUN, *map(str, [script, photos, tmp_path / "out_", *arguments])],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["image", "a", "b", "c", "mean"], done.stderr
    assert done.returncode != 0
    assert "Error: 'bad': " in done.stderr
    assert (out / "report.html").exists()
    assert {json.loads(path.read_text())["image"] for path in (out / "rows").iterdir()} == {"a", "b", "c"}
    assert all(f"{name} " in done.stderr for name in "abc")  # while it runs
    alone = evaluate("bicubic", photos, factor=2, output=tmp_path / "alone", device="cpu")
    assert set(alone.failures) == {"bad"}

    def table(folder):
        return [row[:-1] for row in csv.reader((folder / "results.csv").read_text().splitlines())]  # but the seconds

    assert table(out) == table(tmp_path / "out_rgb8") == table(tmp_path / "alone")
