import math

import pytest
import torch
from torch.nn import functional

from fastsr_kernels import reflect_pad
from fastsr_kernels.arguments import DTYPES
from fastsr_kernels.reflect_pad import reflect_fold
from tests.kernels.checks import half_precision, need_gpu_memory, on_gpu, random

SIZES = {  # height, width, pad
    "odd": ((9, 7), (2, 3)),
    "no pad": ((4, 5), (0, 0)),
    "rows only": ((5, 4), (3, 0)),
    "columns only": ((1, 6), (0, 4)),
    "as far as it goes": ((3, 5), (2, 4)),
    "two by two": ((2, 2), (1, 1)),
    "one pixel": ((1, 1), (0, 0)),
    "square": ((8, 8), (1, 1)),
}
CHANNELS = [1, 3, 4, 32, 128, 132]


def definition(x, pad):
    """torch's own padding, in float64."""
    return functional.pad(x.double().cpu(), (pad[1], pad[1], pad[0], pad[0]), mode="reflect")


def fold_definition(g, pad):
    """The gradient of torch's own padding, in float64."""
    g = g.double().cpu()
    n, c, h, w = g.shape
    x = torch.zeros(n, c, h - 2 * pad[0], w - 2 * pad[1], dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(definition(x, pad), x, g)[0]


def check_padded(y, x, pad):
    assert y.dtype == x.dtype
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(y.detach().double().cpu(), definition(x.detach(), pad))


def check_folded(x, g, pad, roundings):
    """Each rounding is off by half an eps of the largest partial sum, of up to nine numbers."""
    assert x.dtype == g.dtype
    assert x.is_contiguous(memory_format=torch.channels_last)
    bound = fold_definition(g.abs(), pad) * torch.finfo(g.dtype).eps / 2 * roundings
    assert ((x.detach().double().cpu() - fold_definition(g, pad)).abs() <= bound).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "pad"), SIZES.values(), ids=SIZES)
def test_torch_is_the_definition(size, pad, dtype, poisoned):
    x = random(2, 3, *size, dtype=dtype).requires_grad_()
    y = reflect_pad.reflect_pad(x, pad, impl="torch")
    check_padded(y, x, pad)
    g = random(*y.shape, seed=1, dtype=dtype)
    (gradient,) = torch.autograd.grad(y, x, g)
    check_folded(gradient, g, pad, roundings=8)
    assert torch.equal(reflect_fold(g, pad, impl="torch"), gradient)


def test_torch_takes_any_strides(layout, poisoned):
    for size, pad in SIZES.values():
        x = layout(random(2, 3, *size)).requires_grad_()
        before = x.detach().clone()
        y = reflect_pad.reflect_pad(x, pad)
        check_padded(y, x, pad)
        g = layout(random(*y.shape, seed=1))
        g_before = g.clone()
        (gradient,) = torch.autograd.grad(y, x, g)
        check_folded(gradient, g, pad, roundings=8)
        assert torch.equal(x, before)
        assert torch.equal(g, g_before)


@pytest.mark.parametrize("function", [reflect_pad.reflect_pad, reflect_fold])
def test_gradient_of_a_sum(function):
    x = random(2, 3, 7, 8).requires_grad_()
    y = function(x, (1, 2))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    (expected,) = torch.autograd.grad(function(x, (1, 2)), x, torch.ones_like(y))
    assert torch.equal(gradient, expected)


@pytest.mark.parametrize("function", [reflect_pad.reflect_pad, reflect_fold])
@pytest.mark.parametrize(("size", "pad"), SIZES.values(), ids=SIZES)
def test_gradients_of_any_order(size, pad, function):
    size = [side + 2 * p * (function is reflect_fold) for side, p in zip(size, pad, strict=True)]
    x = random(1, 2, *size).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: function(x, pad), x)
    assert torch.autograd.gradgradcheck(lambda x: function(x, pad) ** 3, x)


def test_autocast_changes_nothing():
    x = random(2, 3, 6, 5, dtype=torch.float32).requires_grad_()
    g = random(2, 3, 8, 9, seed=1, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = reflect_pad.reflect_pad(x, (1, 2))
        (gradient,) = torch.autograd.grad(y, x, g)
    check_padded(y, x, (1, 2))
    check_folded(gradient, g, (1, 2), roundings=8)


@pytest.mark.parametrize("shape", [(0, 3, 5, 4), (2, 0, 5, 4)])
def test_torch_takes_no_pictures(shape):
    check_empty(torch.zeros(shape), "torch")


def check_empty(x, impl):
    x = x.requires_grad_()
    y = reflect_pad.reflect_pad(x, (1, 2), impl=impl)
    assert y.shape == (*x.shape[:2], 7, 8)
    assert torch.autograd.grad(y.sum(), x)[0].shape == x.shape


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_operators_are_registered_rightly(channels, dtype):
    check_operators(random(2, channels, 7, 5, dtype=dtype), "torch")


def check_operators(x, impl):
    torch.library.opcheck(torch.ops.fastsr.reflect_pad.default, (x, 2, 1, impl))
    torch.library.opcheck(torch.ops.fastsr.reflect_fold.default, (x, 2, 1, impl))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own compiler does
def test_compiles_without_a_break(compile_and_trace):
    def function(x):
        return (reflect_pad.reflect_pad(x * 2, (1, 2)) ** 2).sum()

    compiled, graphs = compile_and_trace(function)
    x = random(2, 3, 5, 4).requires_grad_()
    torch.testing.assert_close(compiled(x), function(x))
    torch.testing.assert_close(torch.autograd.grad(compiled(x), x), torch.autograd.grad(function(x), x))
    forward, backward = graphs
    assert forward.count(torch.ops.fastsr.reflect_pad.default) == 1
    assert backward.count(torch.ops.fastsr.reflect_fold.default) == 1


@pytest.mark.parametrize("function", [reflect_pad.reflect_pad, reflect_fold])
@pytest.mark.parametrize(
    ("shape", "dtype", "error", "message"),
    [
        ((2, 3, 5, 4), torch.uint8, TypeError, "{} must be float16, .*, not torch.uint8"),
        ((3, 5, 4), torch.float32, ValueError, r"{} must have the shape \(N, C, H, W\), not \(3, 5, 4\)"),
        ((4,), torch.float32, ValueError, r"{} must have the shape \(N, C, H, W\), not \(4,\)"),
    ],
)
def test_bad_tensors_are_named(function, shape, dtype, error, message):
    with pytest.raises(error, match=message.format("x" if function is reflect_pad.reflect_pad else "g")):
        function(torch.zeros(shape, dtype=dtype), (1, 1))


@pytest.mark.parametrize(
    ("function", "pad", "message"),
    [
        (reflect_pad.reflect_pad, (5, 1), "5x4 pixels .* 5 rows and 1 columns; each pad must be less than the side"),
        (reflect_pad.reflect_pad, (1, 4), "5x4 pixels .* 1 rows and 4 columns; each pad must be less than the side"),
        (reflect_pad.reflect_pad, (-1, 0), r"pad=\(-1, 0\) is negative"),
        (reflect_fold, (2, 0), "1x4 pixels .* 2 rows and 0 columns; each pad must be less than the side"),
        (reflect_fold, (0, 3), "5x-2 pixels .* 0 rows and 3 columns; each pad must be less than the side"),
        (reflect_fold, (0, -1), r"pad=\(0, -1\) is negative"),
    ],
)
def test_bad_pads_are_named(function, pad, message):
    with pytest.raises(ValueError, match=message):
        function(torch.zeros(2, 3, 5, 4), pad)


# The kernels: in the interpreter, or on a GPU


def check_kernel(x, pad, arrange=lambda g: g):
    x = x.requires_grad_()
    y = reflect_pad.reflect_pad(x, pad, impl="triton")
    check_padded(y, x, pad)
    g = arrange(random(*y.shape, seed=1, dtype=x.dtype).to(x.device))
    (gradient,) = torch.autograd.grad(y, x, g)
    # In float16 and bfloat16 the sums are in float32, and only the result is rounded.
    check_folded(gradient, g, pad, roundings=8 if x.dtype == torch.float32 else 1.01)


@pytest.mark.triton
@pytest.mark.parametrize(("size", "pad"), SIZES.values(), ids=SIZES)
def test_kernels_are_the_definition(size, pad, kernel_device, poisoned):
    check_kernel(random(2, 3, *size, dtype=torch.float32).to(kernel_device), pad)


@pytest.mark.triton
@pytest.mark.parametrize("channels", CHANNELS)
def test_kernels_take_any_number_of_channels(channels, kernel_device, poisoned):
    check_kernel(random(2, channels, 5, 9, dtype=torch.float32).to(kernel_device), (1, 4))


@pytest.mark.triton
def test_kernels_take_any_strides(layout, kernel_device, poisoned):
    for channels in (4, 5):
        x = layout(random(2, channels, 7, 6, dtype=torch.float32).to(kernel_device))
        check_kernel(x, (2, 1), layout)


@pytest.mark.triton
def test_kernel_gradient_of_a_sum(kernel_device, poisoned):
    check_kernel(
        random(2, 4, 6, 5, dtype=torch.float32).to(kernel_device), (2, 1), lambda g: g[0, 0, 0, 0].expand(g.shape)
    )


@pytest.mark.triton
@half_precision
def test_kernels_round_once(dtype, kernel_device, poisoned):
    check_kernel(random(2, 32, 9, 8, dtype=dtype).to(kernel_device), (3, 2))


@pytest.mark.triton
def test_kernel_gradients_of_any_order(kernel_device):
    x = random(2, 3, 5, 4, dtype=torch.float32).to(kernel_device).requires_grad_()
    g = random(2, 3, 9, 10, seed=1, dtype=torch.float32).to(kernel_device).requires_grad_()
    y = reflect_pad.reflect_pad(x, (2, 3), impl="triton")
    (gradient,) = torch.autograd.grad(y, x, g, create_graph=True)
    # The gradient is linear in g, and its gradient the operator itself.
    v = random(*x.shape, seed=2, dtype=torch.float32).to(kernel_device)
    (second,) = torch.autograd.grad(gradient, g, v)
    check_padded(second, v, (2, 3))


@pytest.mark.triton
@pytest.mark.parametrize("channels", [1, 4])
def test_operators_of_the_kernels_are_registered_rightly(channels, kernel_device):
    check_operators(random(2, channels, 7, 5, dtype=torch.float32).to(kernel_device), "triton")


@pytest.mark.triton
@pytest.mark.parametrize("shape", [(0, 3, 5, 4), (2, 0, 5, 4)])
def test_kernels_take_no_pictures(shape, kernel_device):
    check_empty(torch.zeros(shape, device=kernel_device), "triton")


@pytest.mark.triton
@pytest.mark.parametrize("axis", range(4))
def test_kernels_take_strides_beyond_an_int32(axis, far_apart):
    x = far_apart(random(*(3 if i == axis else 2 for i in range(4)), dtype=torch.float16), axis)
    check_padded(reflect_pad.reflect_pad(x, (1, 1), impl="triton"), x, (1, 1))
    check_folded(reflect_fold(x, (0, 0), impl="triton"), x, (0, 0), roundings=0)


@pytest.mark.triton
def test_float64_runs_in_torch(kernel_device):
    x = random(2, 3, 5, 4).to(kernel_device)
    check_padded(reflect_pad.reflect_pad(x, (1, 2), impl="triton"), x, (1, 2))
    check_folded(reflect_fold(x, (1, 1), impl="triton"), x, (1, 1), roundings=8)


@pytest.mark.triton
@on_gpu
def test_the_same_call_gives_the_same_bits():
    x = torch.randn(2, 128, 200, 300, device="cuda", requires_grad=True)
    y = reflect_pad.reflect_pad(x, (2, 2))
    g = torch.randn_like(y)
    (first,) = torch.autograd.grad(y, x, g, retain_graph=True)
    for _ in range(3):
        assert torch.equal(reflect_pad.reflect_pad(x, (2, 2)), y)
        assert torch.equal(torch.autograd.grad(y, x, g, retain_graph=True)[0], first)


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(3, 32, 4500, 5000), (1, 160, 3700, 3800)])
def test_more_elements_than_an_int32_counts(shape, memory_format):
    needed = 3 * 2 * math.prod(shape) * 1.1
    need_gpu_memory(needed + 2**30)
    x = torch.zeros(shape, dtype=torch.bfloat16, device="cuda", memory_format=memory_format)
    x[-1, -2:, -64:, -64:] = 1
    y = reflect_pad.reflect_pad(x, (1, 1))
    assert y[-1, -2:, -65:, -65:].eq(1).all()
    assert y.count_nonzero() == 2 * 65 * 65
    back = reflect_fold(y, (1, 1))
    assert back[-1, -2:, -62, -62].eq(1).all()
    assert back[-1, -2:, -2, -2].eq(4).all()
