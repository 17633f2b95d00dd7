"""The comparison of loading with training, on small pictures and a small network."""

import pytest
import torch
from PIL import Image

from benchmarks import loader
from fastsr.srgan.train_settings import TrainSettings
from fastsr.srgan.training import SRGANTraining

# Python 3.12 and later warn of forks in programs with threads, which torch has.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork\\(\\):DeprecationWarning")


def test_training_itself_is_set_beside_every_source(tmp_path, monkeypatch):
    pytest.importorskip("lmdb")
    Image.new("RGB", (20, 24)).save(tmp_path / "a.png")
    made = []
    real = SRGANTraining.step
    monkeypatch.setattr(loader, "WARM_UP", 1)
    monkeypatch.setattr(SRGANTraining, "step", lambda self, parts: made.append(parts) or real(self, parts))
    rows = loader.measure(
        TrainSettings((str(tmp_path),), device="cpu", batch=2, crop=16, blocks=1, width=8, gan_steps=0, workers=1),
        seconds=0,
    )
    assert [parts[0]["hr"].shape for parts in made] == [(2, 3, 16, 16)] * 2
    assert [(row["case"], row["workers"]) for row in rows] == [
        ("step", None),
        *((case, workers) for case in ("memory", "files", "PNG", "LMDB") for workers in (0, 1)),
    ]
    for row in rows:
        assert row["of_step"] == row["crops_per_second"] / rows[0]["crops_per_second"] > 0
    assert loader.table(rows).splitlines()[2].startswith("| step |  | ")


def test_settings_are_those_of_training(tmp_path):
    settings = loader.paper([tmp_path], torch.device("cpu"))
    assert settings == TrainSettings((str(tmp_path),), device="cpu", gan_steps=0)
