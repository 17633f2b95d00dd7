"""What `reflect_conv2d` is for torch, and its implementation in torch."""

import pytest
import torch

from fastsr_kernels import reflect_conv
from fastsr_kernels.reflect_conv import reflect_conv2d
from tests.kernels.checks import exact
from tests.kernels.reflect_conv_cases import (
    CASES,
    PADS,
    B,
    W,
    X,
    check,
    check_gradients,
    check_layout,
    check_nothing,
    check_operators,
    definition,
    tensors,
)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_torch_is_the_definition(name, stride, poisoned):
    for dtype in (torch.float64, torch.float32):
        check_gradients(CASES[name], stride, dtype, "cpu", "torch")


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", PADS)
def test_torch_pads_as_asked(name, stride, poisoned):
    kernel, pad = PADS[name]
    check_gradients((2, 3, 7, 9, 5, *kernel), stride, torch.float64, "cpu", "torch", pad=pad)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pixels", [1, 20, 40])
def test_bands_of_the_weights_gradient_are_summed(pixels, stride, monkeypatch):
    monkeypatch.setattr(reflect_conv, "BAND_PIXELS", pixels)
    for name in ("3x3", "4x6", "several tiles"):
        check_gradients(CASES[name], stride, torch.float64, "cpu", "torch")
        check_gradients(CASES[name], stride, torch.bfloat16, "cpu", "torch", False)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_torch_takes_half_precision(dtype):
    x, w, b = tensors(CASES["3x3"], dtype)
    y = reflect_conv2d(x, w, b)
    expected = exact([x, w, b])
    check(y, definition(*expected), dtype, 2)
    for value, right in zip(
        torch.autograd.grad(y.sum(), (x, w, b)), torch.autograd.grad(definition(*expected).sum(), expected), strict=True
    ):
        assert value.dtype == dtype
        check(value, right, dtype, 16)


def test_torch_takes_any_strides(layout):
    check_layout(layout, CASES["3x3"], torch.float64, "cpu", "torch")


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", ["2x2", "3x3 of the smallest", "5x2"])
def test_gradients_of_any_order(name, stride):
    values = tensors(CASES[name])
    values[0] = values[0].detach()[:1].requires_grad_()

    def function(x, w, b):
        return reflect_conv2d(x, w, b, stride)

    assert torch.autograd.gradcheck(function, values, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, values, fast_mode=True)

    def slope(x, w, b):
        return torch.autograd.grad((function(x, w, b) ** 3).sum(), (x, w), create_graph=True)

    assert torch.autograd.gradgradcheck(slope, values, fast_mode=True)


def test_computes_only_the_gradients_asked_for(monkeypatch):
    called = []
    for name in ("_Dgrad", "_Wgrad"):
        function = getattr(reflect_conv, name)
        monkeypatch.setattr(
            function, "forward", lambda *a, name=name, run=function.forward: called.append(name) or run(*a)
        )
    for index, expected in enumerate((["_Dgrad"], ["_Wgrad"], [])):
        values = [value.detach().requires_grad_(i == index) for i, value in enumerate(tensors(CASES["3x3"]))]
        called.clear()
        reflect_conv2d(*values).sum().backward()
        assert called == expected


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("case", [*CASES.values(), (2, 1, 4, 5, 1, 3, 3), (0, 3, 4, 5, 2, 3, 3)], ids=str)
def test_operators_are_registered_rightly(case, stride):
    check_operators(case, stride, torch.float32, "cpu", "torch")


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own compiler does
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_without_a_break(dynamic):
    def function(x, w, b):
        return (reflect_conv2d(x * 2, w, b, 2) ** 2).sum()

    values = tensors(CASES["3x3"])
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    torch.testing.assert_close(compiled(*values), function(*values))
    for value, expected in zip(
        torch.autograd.grad(compiled(*values), values), torch.autograd.grad(function(*values), values), strict=True
    ):
        torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_casts_like_torch(dtype):
    x, w, b = tensors(CASES["3x3"], torch.float32)
    w16 = w.detach().to(dtype)
    with torch.autocast("cpu", dtype):
        y = reflect_conv2d(x, w16, b)
        gradients = torch.autograd.grad(y.float().sum(), (x, b))
    assert y.dtype == definition_under_autocast(x, w, b, dtype).dtype == dtype
    assert [gradient.dtype for gradient in gradients] == [torch.float32] * 2
    torch.testing.assert_close(y, reflect_conv2d(x.to(dtype), w16, b.to(dtype)), rtol=0, atol=0)
    check(y, definition(*exact([x, w, b])), dtype, 4)


def definition_under_autocast(x, w, b, dtype):
    with torch.autocast("cpu", dtype):
        return definition(x, w, b)


def test_autocast_leaves_float64():
    values = tensors(CASES["3x3"])
    with torch.autocast("cpu", torch.bfloat16):
        y = reflect_conv2d(*values)
    assert torch.equal(y, reflect_conv2d(*values))


@pytest.mark.parametrize("empty", ["batch", "inputs", "outputs"])
def test_torch_takes_nothing(empty):
    check_nothing(empty, "cpu", "torch")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X.int(), W), TypeError, "x must be float16, .*, not torch.int32"),
        ((X, W.half()), TypeError, "w is torch.float16, but x is torch.float32"),
        ((X, W, B.double()), TypeError, "b is torch.float64, but x is torch.float32"),
        ((X, W.to("meta")), ValueError, "w is on meta, but x is on cpu"),
        ((X, W, B.to("meta")), ValueError, "b is on meta, but x is on cpu"),
        ((X[0], W), ValueError, r"x must be \(N, C, H, W\), not of shape \(3, 4, 5\)"),
        ((X, W[:, :2]), ValueError, r"w must be \(O, 3, kh, kw\) for x .*, not \(6, 2, 3, 3\)"),
        ((X, W[0]), ValueError, r"w must be \(O, 3, kh, kw\) for x .*, not \(3, 3, 3\)"),
        ((X, W, B[:5]), ValueError, r"b must be \(6,\) for w .*, not \(5,\)"),
        ((X, W, None, 3), ValueError, "stride must be 1 or 2, not 3"),
        ((X, W, None, True), ValueError, "stride must be 1 or 2, not True"),
        ((X, torch.zeros(6, 3, 10, 3)), ValueError, r"w must be 1 to 9 pixels high and wide, not \(10, 3\)"),
        ((X, torch.zeros(6, 3, 3, 0)), ValueError, r"w must be 1 to 9 pixels high and wide, not \(3, 0\)"),
        ((X, torch.zeros(6, 3, 8, 3)), ValueError, r"x must be more than 4 pixels high .*\(4, 1\).*\(2, 3, 4, 5\)"),
        ((X[..., :1], W), ValueError, r"x must be more than 1 pixels wide .*\(1, 1\).*\(2, 3, 4, 1\)"),
        ((X, W, B, 1, None, (1, 3)), ValueError, r"pad must be from 0 to 2 for a kernel of \(3, 3\), not \(1, 3\)"),
        ((X, W, B, 1, None, (-1, 1)), ValueError, r"pad must be from 0 to 2 .* not \(-1, 1\)"),
        ((X[:, :, :2], W, B, 1, None, (0, 0)), ValueError, r"x must be at least 3 pixels high .* \(2, 3, 2, 5\)"),
        ((X, W, B, 1, None, 1), TypeError, r"pad must be two whole numbers, \(rows, columns\), not 1"),
        ((X, W, B, 1, None, (1.0, 1)), TypeError, r"pad must be two whole numbers, .*, not \(1.0, 1\)"),
        ((X, W, B, 2.0), ValueError, "stride must be 1 or 2, not 2.0"),
        ((X, W, B, 1, "cudnn"), ValueError, "impl='cudnn' .* one of auto, triton, torch, padded, gather, descriptor"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        reflect_conv2d(*arguments)
