"""Folders in which nothing may be written: the error names them, before the work."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import fastsr
import fastsr.data.processes  # now: Python itself may be for root alone
from fastsr.checkpoints.own import write_own
from fastsr.checkpoints.sources import locate
from fastsr.cli import main
from fastsr.data.fetch import get_set
from fastsr.data.sets import find_set
from fastsr.errors import OutputError
from fastsr.training.run_folder import RunFolder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs permissions")

NOBODY = 65534
PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


@pytest.fixture
def folder():
    """A folder with a picture in it, where nothing may be written, not even by root: it gives up its rights."""
    path = Path(tempfile.mkdtemp())  # pytest's own folders are for root alone
    path.chmod(0o755)
    fastsr.save(PICTURE, path / "a.png")
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
        if not all(os.access(module.__file__, os.R_OK, effective_ids=True) for module in (fastsr, torch)):
            os.seteuid(user)
            shutil.rmtree(path)
            pytest.skip("the packages are for root alone: they lie in a folder of root's")
    else:
        path.chmod(0o555)
    yield path
    os.seteuid(user)
    path.chmod(0o755)
    shutil.rmtree(path)


def test_a_file_is_not_written(folder):
    before = (folder / "a.png").read_bytes()
    with pytest.raises(OutputError, match=r"a\.png' cannot be written: Permission denied"):
        fastsr.save(PICTURE, folder / "a.png")
    with pytest.raises(OutputError, match=r"w\.safetensors' cannot be written: Permission denied"):
        write_own(folder / "w.safetensors", {}, {})
    assert (folder / "a.png").read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ("resize", "--scale", "2", "IN"),
        ("srgan", "IN"),
        ("dip", "IN", "--steps", "1"),
        ("prepare", "IN", "-o", "IN/out"),
        ("prepare", "IN", "-o", "IN/out", "--lmdb"),
        ("evaluate", "bicubic", "--data", "IN", "-o", "IN/out"),
    ],
)
def test_commands_say_which_folder(words, folder):
    result = CliRunner().invoke(main, [word.replace("IN", str(folder)) for word in words])
    assert result.exit_code == 2, result.output
    assert "is not writable: Permission denied" in result.stderr
    assert str(folder) in result.stderr
    assert os.listdir(folder) == ["a.png"]


def test_a_training_says_which_folder(folder):
    with (
        pytest.raises(OutputError, match=r"run' is not writable: Permission denied"),
        RunFolder(folder / "run").sole_use(),
    ):
        pass


def test_downloads_say_which_folder(folder, monkeypatch):
    monkeypatch.setenv("FASTSR_CACHE", str(folder / "cache"))
    with pytest.raises(OutputError, match=r"cache' is not writable: Permission denied"):
        locate("https://localhost/weights.pth")
    with pytest.raises(OutputError, match=r"data' is not writable: Permission denied"):
        get_set(find_set("Set5"), folder / "data", progress=False, show=print)
