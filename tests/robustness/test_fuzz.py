"""A short look at what `python -m benchmarks.fuzz` does for long: damaged files give a result, or an error by name."""

import random

import pytest

from benchmarks.robustness import checkpoint_seeds, image_seeds
from benchmarks.robustness.checks import check_checkpoint, check_image
from benchmarks.robustness.mutations import damaged

LOADED_CHECKPOINTS = {
    *("srresnet.safetensors", "msrresnet.safetensors", "rrdbnet.safetensors", "unet.safetensors"),
    *("stylegan.safetensors", "half.safetensors", "rrdb.pth", "basicsr.pth", "legacy.pth", "bfloat16.pth"),
    *("parallel.pth", "nested.pth"),
}


def test_whole_images_of_every_kind_are_read(tmp_path):
    seeds = image_seeds.seeds()
    assert {name for name, data in seeds.items() if not check_image(data, tmp_path)} == {"nothing.png", "text.jpg"}


def test_whole_checkpoints_are_read_and_others_refused(tmp_path):
    seeds = checkpoint_seeds.seeds(tmp_path / "trap")
    assert {name for name, data in seeds.items() if check_checkpoint(data, tmp_path)} == LOADED_CHECKPOINTS
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("what", ["images", "checkpoints"])
def test_damaged_files_are_read_or_refused(what, tmp_path, monkeypatch):
    if what == "images":
        monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 2**17)
        seeds, check = list(image_seeds.seeds().values()), check_image
    else:
        seeds, check = list(checkpoint_seeds.seeds(tmp_path / "trap").values()), check_checkpoint
    chance = random.Random(7)
    outcomes = {check(damaged(chance.choice(seeds), chance), tmp_path) for _ in range(150)}
    assert outcomes == {True, False}
    assert not (tmp_path / "trap").exists()
