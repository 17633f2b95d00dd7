"""Writing fails in the midst, as on a full disk: the old file stays whole, nothing half is left, the error says where.

The system refuses to let files grow beyond a limit, in C code as in Python's; on a disk that is really full all of this
was seen too, see docs/robustness.md.
"""

import json
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import torch

import fastsr
from fastsr.checkpoints.own import write_own
from fastsr.data.prepare import prepare
from fastsr.data.training import find_training_pictures
from fastsr.errors import InputError, OutputError
from fastsr.evaluate import evaluate
from fastsr.settings_file import write_json
from fastsr.training.run_folder import RunFolder

resource = pytest.importorskip("resource")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs limits on files")

NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
DEEP = NOISE.astype(np.uint16) * 257


@contextmanager
def files_up_to(size):
    """Let no file grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "pictures").mkdir()
    for index in range(2):
        fastsr.save(np.roll(NOISE, index, 0), tmp_path / "pictures" / f"{index}.png")
    return tmp_path / "pictures"


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


WRITERS = {
    **{f"picture.{kind}": lambda path: fastsr.save(NOISE, path) for kind in ("png", "jpg", "tif", "webp", "bmp")},
    **{f"deep.{kind}": lambda path: fastsr.save(DEEP, path) for kind in ("png", "tif")},
    "weights.safetensors": lambda path: write_own(path, {"architecture": "x"}, {"a": torch.rand(2000)}),
    "settings.json": lambda path: write_json(path, {"text": "x" * 5000}),
}


@pytest.mark.parametrize("limit", [0, 1000])
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_cannot_be_written_stays_as_it_was(name, limit, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"old")
    with files_up_to(limit), pytest.raises(OutputError, match=f"{name}' cannot be written: File too large"):
        WRITERS[name](path)
    assert path.read_bytes() == b"old"
    assert files_in(tmp_path) == {name}
    WRITERS[name](path)
    assert path.read_bytes() != b"old"


@pytest.mark.parametrize("limit", [0, 2000, 20_000])
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(limit, tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    folder.save({"step": 1})
    with files_up_to(limit), pytest.raises(OutputError, match=r"last\.pt' cannot be written: File too large"):
        folder.save({"step": 2, "weights": torch.rand(10_000)})
    assert folder.state() == {"step": 1}
    assert files_in(tmp_path) == {"checkpoints/last.pt"}


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, 4000),
        ({"lmdb": True}, 4000),
        ({"lmdb": True}, 9000),
        ({"sizes": (16, 32)}, 1000),
        ({"sizes": (16, 32), "lmdb": True}, 4500),
        ({"sizes": (16, 32), "lmdb": True}, 13_000),
    ],
)
def test_prepared_pictures_go_on_where_the_disk_was_full(options, limit, pictures, tmp_path):
    options = {**options, "workers": 1, "progress": False}
    with files_up_to(limit), pytest.raises(OutputError, match="cannot be written"):
        prepare([pictures], tmp_path / "out", **options)
    assert not list((tmp_path / "out").rglob("*.tmp"))
    prepare([pictures], tmp_path / "out", **options)
    prepare([pictures], tmp_path / "alone", **options)
    assert files_in(tmp_path / "out") == files_in(tmp_path / "alone")
    assert read_all(tmp_path / "out") == read_all(tmp_path / "alone")


def read_all(folder):
    return [picture.hr.read().sum().item() for picture in find_training_pictures([folder], None)]


def test_an_evaluation_goes_on_where_the_disk_was_full(pictures, tmp_path):
    with files_up_to(2000):
        failed = evaluate("bicubic", pictures, factor=4, output=tmp_path / "out", device="cpu")
    assert set(failed.failures) == {"0", "1"}
    assert all("cannot be written: File too large" in problem for problem in failed.failures.values())
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert not evaluate("bicubic", pictures, factor=4, output=tmp_path / "out", device="cpu").failures


def test_a_log_that_cannot_be_written_is_named_and_mended(tmp_path):
    folder = RunFolder(tmp_path)
    folder.log({"step": 1})
    with files_up_to(20), pytest.raises(OutputError, match=r"losses\.jsonl' cannot be written: File too large"):
        folder.log({"step": 2, "loss": 0.5})
    whole = [line for line in (tmp_path / "losses.jsonl").read_bytes().splitlines(True) if line.endswith(b"\n")]
    assert [json.loads(line) for line in whole] == [{"step": 1}]


def test_a_broken_database_is_still_said_to_be_one(pictures, tmp_path):
    prepare([pictures], tmp_path / "out", lmdb=True, workers=1, progress=False)
    (tmp_path / "out" / "HR.lmdb" / "data.mdb").write_bytes(b"no database")
    with pytest.raises(InputError, match=r"HR\.lmdb' cannot be read"):
        prepare([pictures], tmp_path / "out", lmdb=True, workers=1, progress=False)
    assert (tmp_path / "out" / "HR.lmdb" / "data.mdb").read_bytes() == b"no database"
