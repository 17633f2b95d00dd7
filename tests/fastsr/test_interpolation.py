import pytest
import torch

import fastsr
from fastsr.images import read
from fastsr.methods import find


@pytest.mark.parametrize(("name", "kernel"), [("bicubic", "bicubic"), ("lanczos", "lanczos3")])
def test_interpolation_is_resize(name, kernel):
    img = torch.randint(256, (3, 7, 9), dtype=torch.uint8)
    method = find(name)
    result = method.upscale(read(img), 3, method.options(), torch.device("cpu"), "bicubic")
    assert torch.equal((result.pixels[0] * 255).round().byte(), fastsr.resize(img, 3, kernel=kernel))
