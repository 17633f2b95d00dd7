import inspect
from dataclasses import fields

import pytest
import torch
from PIL import Image

from fastsr.errors import FastsrError
from fastsr.evaluate import evaluate
from fastsr.images import read
from fastsr.methods import find
from fastsr.pulse import formats, pulse
from fastsr.pulse.call import NOTE
from fastsr.pulse.method import Options

CPU = torch.device("cpu")


def test_the_method_is_the_function(weights):
    img = torch.rand(1, 3, 4, 4)
    own = {"steps": 3, "restarts": 2, "seed": 7, "loss": "L1", "consistency": True, "dtype": "float32"}
    result = find("pulse").upscale(read(img), 4, Options(str(weights), **own), CPU, "bicubic")
    assert torch.equal(result.pixels, pulse(img, 4, weights=weights, **own, device="cpu", progress=False))


def test_pictures_of_an_evaluation_say_that_they_are_invented(weights, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    Image.new("RGB", (16, 16), "brown").save(data / "a.png")
    options = Options(str(weights), steps=1)
    found = evaluate("pulse", data, factor=2, options=options, output=tmp_path / "out", device="cpu")
    with Image.open(found.folder / "pictures" / "a.png") as image:
        assert image.info["Description"] == NOTE
    with Image.open(found.folder / "pictures" / "a_hr.png") as image:
        assert "Description" not in image.info


def test_its_defaults_are_the_function_s():
    defaults = {name: parameter.default for name, parameter in inspect.signature(pulse).parameters.items()}
    for field in fields(Options):
        assert field.default == defaults[field.name]


def test_other_weights_in_the_same_file_are_told_apart(weights, small):
    options = Options(str(weights))

    def details():
        find("pulse").check(4, options, CPU)
        return find("pulse").details(4, options)

    first = details()
    assert first.startswith("StyleGAN 16x16, 6 layers, latent 8 (fastsr), weights ")
    assert details() == first
    formats.save(small(latent=9), weights)
    assert details() != first


@pytest.mark.parametrize(
    ("change", "message"), [({"weights": "nowhere.pt"}, "weights='nowhere.pt'"), ({"loss": "L9"}, "'L9' is no term")]
)
def test_options_are_checked_before_the_work(change, message, weights):
    with pytest.raises(FastsrError, match=message):
        find("pulse").check(4, Options(**{"weights": str(weights), **change}), CPU)
