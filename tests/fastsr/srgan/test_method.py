import pytest
import torch

import fastsr
from fastsr.errors import FastsrError
from fastsr.images import read
from fastsr.methods import find
from fastsr.srgan import formats
from fastsr.srgan.method import Options

CPU = torch.device("cpu")


def test_the_method_is_the_function(weights):
    img = torch.rand(1, 3, 20, 21)
    options = Options(str(weights), ensemble=True, tile=16, dtype="float32", consistency=True)
    result = find("srgan").upscale(read(img), 3, options, CPU, "bicubic")
    options = {"ensemble": True, "tile": 16, "dtype": "float32", "consistency": True}
    expected = fastsr.srgan(img, 3, weights=weights, **options, device="cpu", progress=False)
    assert torch.equal(result.pixels, expected)


def test_other_weights_in_the_same_file_are_told_apart(weights, small):
    options = Options(str(weights))

    def details():
        find("srgan").check(4, options, CPU)
        return find("srgan").details(4, options)

    first = details()
    assert first.startswith("SRResNet x4, 2 blocks of 16 channels (fastsr), weights ")
    assert details() == first
    changed = small()
    changed.network.last.bias.add_(0.001)
    formats.save(changed, weights)
    assert details() != first


@pytest.mark.parametrize(
    ("change", "factor", "message"),
    [
        ({"weights": "nowhere.pth"}, 4, "weights='nowhere.pth' is not there"),
        ({"tile": 3}, 4, "tile=3"),
        ({"consistency": "yes"}, 4, "consistency='yes'"),
        ({"dtype": "int8"}, 4, "dtype='int8'"),
        ({}, 8, "factor=8 is more than"),
    ],
)
def test_options_are_checked_before_the_work(change, factor, message, weights):
    with pytest.raises(FastsrError, match=message):
        find("srgan").check(factor, Options(**{"weights": str(weights), **change}), CPU)
