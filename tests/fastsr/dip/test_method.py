import pytest
import torch

import fastsr
from fastsr.dip.method import Options
from fastsr.errors import InputError
from fastsr.images import read
from fastsr.methods import find


def test_the_method_is_the_function():
    method, img = find("dip"), torch.rand(1, 3, 6, 8)
    options = Options(preset="paper", steps=2, seed=3, dtype="float32")
    result = method.upscale(read(img), 2, options, torch.device("cpu"))
    expected = fastsr.dip(img, 2, preset="paper", steps=2, seed=3, dtype="float32", device="cpu", progress=False)
    assert torch.equal(result.pixels, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(preset="best"), "preset='best'"),
        (Options(steps=0), "steps=0"),
        (Options(seed=-1), "seed=-1"),
        (Options(dtype="int8"), "dtype='int8'"),
    ],
)
def test_options_are_checked_before_the_work(options, message):
    with pytest.raises(InputError, match=message):
        find("dip").check(4, options, torch.device("cpu"))
