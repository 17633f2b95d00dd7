"""The recipes of larger weights: settings that `fastsr train` reads, their data, and runs that stop and resume."""

import importlib
import json
import sys

import pytest
from PIL import Image

from benchmarks import training
from benchmarks.gpu_items import ITEMS
from fastsr.training.settings import read_settings

NAMES = list(training.METHODS)
CHILD = """
import signal, sys, time
from pathlib import Path
run = Path(sys.argv[sys.argv.index("-o") + 1])
run.mkdir(parents=True, exist_ok=True)
first = not (run / "losses.jsonl").exists()
with (run / "losses.jsonl").open("a") as log:
    log.write('{"step": 1, "rate": 0.1}\\n{"step": 1, "psnr_y": 20.0}\\n')
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
if first:
    time.sleep(60)
sys.exit(STATUS)
"""


def settings_of(name):
    kind = importlib.import_module(f"fastsr.{training.METHODS[name]}.train_settings").TrainSettings
    return read_settings(kind, training.RECIPES / f"{name}.yaml", {})


@pytest.fixture
def source(tmp_path):
    """A folder as FASTSR_DATA names it, with few images."""
    for name in ("bsds500/train", "bsds500/test", "t91", "Set5/image_SRF_4", "faces/train", "faces/val", "weights"):
        (tmp_path / "source" / name).mkdir(parents=True)
        if name != "weights":
            Image.new("RGB", (256, 256), "red").save(tmp_path / "source" / name / "large.png")
    Image.new("RGB", (200, 100)).save(tmp_path / "source" / "t91" / "small.png")
    (tmp_path / "source" / "weights" / training.VGG).write_bytes(b"weights")
    return tmp_path / "source"


def test_every_recipe_is_an_item_of_the_queue():
    assert {path.stem for path in training.RECIPES.iterdir()} == set(NAMES)
    items = {item.name: item.function for item in ITEMS if item.name.startswith("train-")}
    assert items == {f"train-{name}": f"benchmarks.training:{name.replace('-', '_')}" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_reads_what_prepare_writes(name, source, tmp_path):
    settings = settings_of(name)
    training.prepare(source, tmp_path / "data")
    for path in (*settings.data, settings.val, getattr(settings, "vgg_weights", None)):
        assert path is None or (tmp_path / path).exists()
    assert [path.name for path in (tmp_path / "data" / "t91").iterdir()] == ["large.png"]
    assert {path.name for path in (tmp_path / "data" / "faces").iterdir()} == {"lr_16", "hr_128"}


def test_what_is_prepared_is_kept(source, tmp_path):
    training.prepare(source, tmp_path / "data")
    (source / "weights" / training.VGG).write_bytes(b"others")
    training.prepare(source, tmp_path / "data")
    assert (tmp_path / "data" / training.VGG).read_bytes() == b"weights"


def run(monkeypatch, folder, status, minutes):
    real = training.subprocess.Popen

    def start(command, **options):
        return real([sys.executable, "-c", CHILD.replace("STATUS", str(status)), *command[2:]], **options)

    monkeypatch.setattr(training.subprocess, "Popen", start)
    try:
        return training.run("srresnet-x4", minutes, folder)
    finally:
        monkeypatch.undo()


def test_a_run_that_is_stopped_is_not_complete_and_resumes(monkeypatch, tmp_path):
    first = run(monkeypatch, tmp_path, 0, minutes=0.02)
    assert first["complete"] is False
    assert run(monkeypatch, tmp_path, 0, minutes=1) == {**first, "complete": True}
    assert first["losses"] == {"step": 1, "rate": 0.1}
    assert first["validation"] == {"step": 1, "psnr_y": 20.0}
    assert json.dumps(first)


def test_a_training_that_fails_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "runs" / "srresnet-x4").mkdir(parents=True)
    (tmp_path / "runs" / "srresnet-x4" / "losses.jsonl").touch()
    with pytest.raises(RuntimeError, match=r"fastsr train srgan --config .*srresnet-x4\.yaml .* ended with status 1"):
        run(monkeypatch, tmp_path, 1, minutes=1)
