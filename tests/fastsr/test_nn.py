"""The module against torch's, whose weights it takes."""

import re

import pytest
import torch
from torch import nn

from fastsr.nn import ReflectConv2d


def plain(*arguments, padding, **options):
    return nn.Conv2d(*arguments, padding=padding, padding_mode="reflect", **options)


@pytest.mark.parametrize(
    ("kernel", "stride", "bias"), [(3, 1, True), (3, 2, False), (1, 1, True), ((5, 2), 2, True), (9, 1, True)]
)
def test_takes_the_place_of_torchs(kernel, stride, bias):
    height, width = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    torch.manual_seed(0)
    theirs = plain(4, 6, kernel, stride, padding=(height // 2, width // 2), bias=bias)
    torch.manual_seed(0)
    ours = ReflectConv2d(4, 6, kernel, stride, bias=bias)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)
    torch.nn.init.normal_(theirs.weight)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 4, 11, 8, requires_grad=True)
    results = [module(x) for module in (ours, theirs)]
    g = torch.randn_like(results[0])
    torch.testing.assert_close(*results)
    for value, expected in zip(
        *(torch.autograd.grad(y, (x, m.weight), g) for y, m in zip(results, (ours, theirs), strict=True)), strict=True
    ):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4)


def test_padding_may_be_there_already():
    torch.manual_seed(0)
    conv = ReflectConv2d(3, 5, 3, padding=0)
    x = torch.randn(1, 3, 6, 7)
    torch.testing.assert_close(conv(x), nn.functional.conv2d(x, conv.weight, conv.bias))
    assert conv(x).shape == (1, 5, 4, 5)


def test_parameters_are_made_as_asked():
    conv = ReflectConv2d(3, 5, [3, 2], device="meta", dtype=torch.float16, bias=False)
    assert (conv.weight.device.type, conv.weight.dtype) == ("meta", torch.float16)
    assert (conv.weight.shape, conv.padding, conv.bias) == ((5, 3, 3, 2), (1, 1), None)


def test_prints_what_it_is():
    assert "padding_mode=reflect" in repr(ReflectConv2d(3, 5, 3))
    assert "impl='torch'" in repr(ReflectConv2d(3, 5, 3, impl="torch"))


def test_bad_arguments_are_named():
    for stride in (3, (1, 2), True):
        with pytest.raises(ValueError, match=f"stride={re.escape(repr(stride))} is not supported; give 1 or 2"):
            ReflectConv2d(3, 5, 3, stride=stride)
    for name, value in (("kernel_size", 3.0), ("kernel_size", (3, 3, 3)), ("padding", "same"), ("padding", (1, None))):
        with pytest.raises(TypeError, match=f"{name}={re.escape(repr(value))} is not supported; give a whole number"):
            ReflectConv2d(3, 5, **{"kernel_size": 3, name: value})
    with pytest.raises(TypeError, match="positional arguments"):
        ReflectConv2d(3, 5, 3, 1, 1, 2)  # a dilation, in torch
    with pytest.raises(ValueError, match="kernel w must be 1 to 9 pixels"):
        ReflectConv2d(3, 5, 11)(torch.zeros(1, 3, 20, 20))
