import inspect
from dataclasses import fields

import pytest
import torch

from fastsr.errors import FastsrError
from fastsr.images import read
from fastsr.methods import find
from fastsr.sr3 import formats, sr3
from fastsr.sr3.method import Options

CPU = torch.device("cpu")
QUICK = {"steps": 3, "dtype": "float32"}


def test_the_method_is_the_function(weights):
    img = torch.rand(1, 3, 5, 6)
    own = {"steps": 3, "sampler": "ddim", "seed": 7, "consistency": False, "dtype": "float32"}
    result = find("sr3").upscale(read(img), 4, Options(str(weights), **own), CPU, "bicubic")
    assert torch.equal(result.pixels, sr3(img, 4, weights=weights, **own, device="cpu", progress=False))


def test_its_defaults_are_the_function_s():
    defaults = {name: parameter.default for name, parameter in inspect.signature(sr3).parameters.items()}
    for field in fields(Options):
        assert field.default == defaults[field.name]


def test_other_weights_in_the_same_file_are_told_apart(weights, small):
    options = Options(str(weights))

    def details():
        find("sr3").check(4, options, CPU)
        return find("sr3").details(4, options)

    first = details()
    assert first.startswith("U-Net for 4 to 16, 8, 16 channels, 2000 steps, x0 (fastsr), weights ")
    assert details() == first
    formats.save(small(gain=0.5), weights)
    assert details() != first


@pytest.mark.parametrize(
    ("change", "factor", "message"),
    [
        ({"weights": "nowhere.pth"}, 4, "weights='nowhere.pth' is not there"),
        ({"steps": 1}, 4, "steps=1"),
        ({"sampler": "euler"}, 4, "sampler='euler'"),
        ({"seed": -1}, 4, "seed=-1"),
        ({"dtype": "int8"}, 4, "dtype='int8'"),
        ({}, 8, "factor=8 is not the one"),
    ],
)
def test_options_are_checked_before_the_work(change, factor, message, weights):
    with pytest.raises(FastsrError, match=message):
        find("sr3").check(factor, Options(**{"weights": str(weights), **change}), CPU)
