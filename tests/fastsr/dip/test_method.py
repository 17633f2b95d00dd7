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
    result = method.upscale(read(img), 2, options, torch.device("cpu"), "bicubic")
    expected = fastsr.dip(img, 2, preset="paper", steps=2, seed=3, dtype="float32", device="cpu", progress=False)
    assert torch.equal(result.pixels, expected)


@pytest.mark.parametrize(
    ("options", "kernel"),
    [
        (Options(steps=2), "box"),
        (Options(steps=2, kernel="bicubic"), "bicubic"),
        (Options(steps=2, preset="paper"), "lanczos2"),
        (Options(steps=2, preset="paper", kernel="box"), "box"),
    ],
)
def test_the_kernel_is_the_one_asked_for_then_the_protocols_or_the_papers(options, kernel):
    img = torch.rand(1, 3, 6, 8)
    result = find("dip").upscale(read(img), 2, options, torch.device("cpu"), "box")
    expected = fastsr.dip(img, 2, preset=options.preset, steps=2, kernel=kernel, device="cpu", progress=False)
    assert torch.equal(result.pixels, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(preset="best"), "preset='best'"),
        (Options(steps=0), "steps=0"),
        (Options(seed=-1), "seed=-1"),
        (Options(dtype="int8"), "dtype='int8'"),
        (Options(kernel="lanczos"), "kernel='lanczos'"),
    ],
)
def test_options_are_checked_before_the_work(options, message):
    with pytest.raises(InputError, match=message):
        find("dip").check(4, options, torch.device("cpu"))
