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


@pytest.mark.skipif(sys.platform != "linux", reason="torchrun")
def test_two_processes_give_the_results_of_one(photos, tmp_path):
    (photos / "bad.png").write_text("no image")
    out = tmp_path / "out"
    arguments = ["--data", photos, "--factor", "2", "--device", "cpu", "-o", out]
    done = subprocess.run(
        [sys.executable, *TORCHRUN, "-m", "fastsr", "evaluate", "bicubic", *map(str, arguments)],
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

    assert table(out) == table(tmp_path / "alone")


TWICE = """
import sys
from fastsr.evaluate import evaluate
for protocol in ("rgb8", "matlab8", "rgb8"):
    found = evaluate("bicubic", sys.argv[1], factor=2, protocol=protocol, device="cpu", output=sys.argv[2] + protocol)
    assert [row.image for row in found.rows] == ["a", "b", "c"]
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="torchrun")
def test_two_processes_do_several_evaluations(photos, tmp_path):
    script = tmp_path / "twice.py"
    script.write_text(TWICE)
    done = subprocess.run(
        [sys.executable, *TORCHRUN, str(script), str(photos), str(tmp_path / "out_")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.count("done") == 2, done.stderr
