import math

import pytest
import torch
from torch.nn import functional

from fastsr_kernels import upsample_blur
from fastsr_kernels.arguments import DTYPES
from fastsr_kernels.upsample_blur import blur_downsample
from tests.kernels.checks import half_precision, need_gpu_memory, on_gpu, random

SIZES = {  # (N, C, H, W) of the smaller picture
    "odd": (2, 3, 5, 7),
    "one pixel": (2, 3, 1, 1),
    "a row": (1, 1, 1, 6),
    "a column": (1, 2, 4, 1),
    "square": (1, 8, 8, 8),
}
LARGER_THAN_A_TILE = [(2, 1, 3, 259), (1, 132, 2, 5)]


def up(x, impl=None):
    return upsample_blur.upsample_blur(x, impl=impl)


def down(x, impl=None):
    return blur_downsample(x, impl=impl)


def taps(x):
    return torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype).outer(torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype))


def blurred(x):
    planes = x.reshape(-1, 1, *x.shape[2:])
    return functional.conv2d(planes, taps(x)[None, None], padding=1).view(x.shape)


def expected_up(x):
    """Every pixel repeated, then the blur, in float64."""
    x = x.detach().double().cpu()
    return blurred(x.repeat_interleave(2, 2).repeat_interleave(2, 3))


def expected_down(x):
    """The blur, then the means, in float64."""
    n, c, h, w = x.shape
    return blurred(x.detach().double().cpu()).view(n, c, h // 2, 2, w // 2, 2).mean((3, 5))


EXPECTED = {up: expected_up, down: expected_down}
both = pytest.mark.parametrize("function", [up, down])


def size_for(function, shape):
    return (*shape[:2], *(side * (1 + (function is down)) for side in shape[2:]))


def check(function, x, y, gain=1.0):
    """Float32 sums of sixteen numbers are off by some eps of the sum of the magnitudes; the result is rounded once."""
    assert y.dtype == x.dtype
    channels_last = x.stride(1) == 1 and not x.is_contiguous()
    assert y.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    accumulator = torch.promote_types(x.dtype, torch.float32)
    expected, magnitude = (gain * EXPECTED[function](each) for each in (x, x.abs()))
    bound = 8 * torch.finfo(accumulator).eps * magnitude
    if x.dtype != accumulator:
        bound += torch.finfo(x.dtype).eps / 2 * (expected.abs() + bound)
    assert ((y.detach().double().cpu() - expected).abs() <= bound).all()


def check_with_gradient(function, x, impl, arrange=lambda g: g):
    x = x.requires_grad_()
    y = function(x, impl)
    check(function, x, y)
    g = arrange(random(*y.shape, seed=1, dtype=x.dtype).to(x.device))
    (gradient,) = torch.autograd.grad(y, x, g)
    other, gain = (down, 4) if function is up else (up, 0.25)
    check(other, g, gradient, gain)


@both
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SIZES.values(), ids=SIZES)
def test_torch_is_the_definition(shape, dtype, function, poisoned):
    for memory_format in (torch.contiguous_format, torch.channels_last):
        x = random(*size_for(function, shape), dtype=dtype).contiguous(memory_format=memory_format)
        check_with_gradient(function, x, "torch")


@both
def test_torch_takes_any_strides(function, layout, poisoned):
    x = layout(random(2, 3, 6, 8))
    before = x.clone()
    check_with_gradient(function, x, "torch", layout)
    assert torch.equal(x, before)


@pytest.mark.parametrize("shape", SIZES.values(), ids=SIZES)
def test_each_is_the_adjoint_of_the_other(shape):
    x, y = random(*shape), random(*size_for(down, shape), seed=1)
    torch.testing.assert_close((up(x) * y).sum(), 4 * (x * down(y)).sum())


@pytest.mark.parametrize("definition", [upsample_blur.up_definition, upsample_blur.down_definition])
def test_definitions(definition):
    x = random(2, 3, 6, 4)
    torch.testing.assert_close(definition(x), (expected_up if "up" in definition.__name__ else expected_down)(x))


@both
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gradients_of_any_order(function, memory_format):
    x = random(1, 2, 4, 2).contiguous(memory_format=memory_format).requires_grad_()
    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(lambda x: function(x) ** 3, x)


@both
def test_gradient_of_a_sum(function):
    x = random(2, 3, 6, 8).requires_grad_()
    y = function(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    (expected,) = torch.autograd.grad(function(x), x, torch.ones_like(y))
    torch.testing.assert_close(gradient, expected)


@both
def test_autocast_changes_nothing(function):
    with torch.autocast("cpu", torch.bfloat16):
        check_with_gradient(function, random(2, 3, 6, 4, dtype=torch.float32), None)


@both
@pytest.mark.parametrize("shape", [(0, 3, 4, 2), (2, 0, 4, 2), (2, 3, 0, 2)])
def test_torch_takes_no_pixels(function, shape):
    check_empty(function, torch.zeros(shape), "torch")


def check_empty(function, x, impl):
    x = x.requires_grad_()
    y = function(x, impl)
    assert y.shape == (*x.shape[:2], *(int(side * (2 if function is up else 0.5)) for side in x.shape[2:]))
    assert torch.autograd.grad(y.sum(), x)[0].shape == x.shape


@pytest.mark.parametrize("shape", [(2, 1, 4, 6), (2, 3, 2, 2), (1, 4, 2, 1)])
def test_operators_are_registered_rightly(shape):
    check_operators(random(*shape, dtype=torch.bfloat16), "torch")


def check_operators(x, impl):
    for memory_format in (torch.contiguous_format, torch.channels_last):
        x = x.contiguous(memory_format=memory_format)
        for operator, argument in (("upsample_blur", x), ("blur_downsample", up(x, "torch"))):
            operator = getattr(torch.ops.fastsr, operator).default
            torch.library.opcheck(operator, (argument, 0.5, impl), test_utils=("test_schema", "test_faketensor"))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own compiler does
def test_compiles_without_a_break(compile_and_trace):
    def function(x):
        return (down(up(x * 2) ** 2) ** 2).sum()

    compiled, graphs = compile_and_trace(function)
    x = random(2, 3, 5, 4).requires_grad_()
    torch.testing.assert_close(compiled(x), function(x))
    torch.testing.assert_close(torch.autograd.grad(compiled(x), x), torch.autograd.grad(function(x), x))
    for graph in graphs:
        assert graph.count(torch.ops.fastsr.upsample_blur.default) == 1
        assert graph.count(torch.ops.fastsr.blur_downsample.default) == 1


@both
@pytest.mark.parametrize(
    ("shape", "dtype", "error", "message"),
    [
        ((2, 3, 6, 4), torch.uint8, TypeError, "x must be float16, .*, not torch.uint8"),
        ((3, 6, 4), torch.float32, ValueError, r"x must have the shape \(N, C, H, W\), not \(3, 6, 4\)"),
    ],
)
def test_bad_tensors_are_named(function, shape, dtype, error, message):
    with pytest.raises(error, match=message):
        function(torch.zeros(shape, dtype=dtype))


@pytest.mark.parametrize("size", [(5, 4), (4, 5)])
def test_odd_sides_are_named(size):
    with pytest.raises(ValueError, match=rf"even sides to be halved, not {size[0]}x{size[1]} \(height x width\)"):
        down(torch.zeros(1, 3, *size))


# The kernels: in the interpreter, or on a GPU


@pytest.mark.triton
@both
@pytest.mark.parametrize("shape", [*SIZES.values(), *LARGER_THAN_A_TILE], ids=str)
def test_kernels_are_the_definition(function, shape, kernel_device, poisoned):
    x = random(*size_for(function, shape), dtype=torch.float32).to(kernel_device)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        check_with_gradient(function, x.detach().contiguous(memory_format=memory_format), "triton")


@pytest.mark.triton
@both
def test_kernels_take_any_strides(function, layout, kernel_device, poisoned):
    x = layout(random(2, 4, 6, 8, dtype=torch.float32).to(kernel_device))
    check_with_gradient(function, x, "triton", layout)


@pytest.mark.triton
@both
@half_precision
def test_kernels_round_once(function, dtype, kernel_device, poisoned):
    x = random(2, 20, 8, 6, dtype=dtype).to(kernel_device)
    check_with_gradient(function, x, "triton")
    check_with_gradient(function, x.detach().contiguous(memory_format=torch.channels_last), "triton")


@pytest.mark.triton
@both
def test_kernel_gradients_of_any_order(function, kernel_device):
    x = random(2, 3, 4, 6, dtype=torch.float32).to(kernel_device).requires_grad_()
    y = function(x, "triton")
    g = random(*y.shape, seed=1, dtype=torch.float32).to(kernel_device).requires_grad_()
    (gradient,) = torch.autograd.grad(y, x, g, create_graph=True)
    # The gradient is linear in g, and its gradient the operator itself.
    v = random(*x.shape, seed=2, dtype=torch.float32).to(kernel_device)
    (second,) = torch.autograd.grad(gradient, g, v)
    check(function, v, second)


@pytest.mark.triton
def test_operators_of_the_kernels_are_registered_rightly(kernel_device):
    for shape in ((2, 1, 4, 6), (2, 3, 2, 2)):
        check_operators(random(*shape, dtype=torch.float32).to(kernel_device), "triton")


@pytest.mark.triton
@both
def test_kernels_take_no_pixels(function, kernel_device):
    for shape in ((0, 3, 4, 2), (2, 3, 0, 2)):
        check_empty(function, torch.zeros(shape, device=kernel_device), "triton")


@pytest.mark.triton
@both
@pytest.mark.parametrize("axis", range(2))
def test_kernels_take_strides_beyond_an_int32(function, axis, far_apart):
    x = far_apart(random(*(3 if i == axis else 2 for i in range(4)), dtype=torch.float16), axis)
    check(function, x, function(x, "triton"))


@pytest.mark.triton
@both
def test_float64_runs_in_torch(function, kernel_device):
    check_with_gradient(function, random(2, 3, 4, 6).to(kernel_device), "triton")


@pytest.mark.triton
@on_gpu
@both
def test_the_same_call_gives_the_same_bits(function):
    x = torch.randn(2, 128, 200, 300, device="cuda", requires_grad=True)
    y = function(x)
    g = torch.randn_like(y)
    (first,) = torch.autograd.grad(y, x, g, retain_graph=True)
    for _ in range(3):
        assert torch.equal(function(x), y)
        assert torch.equal(torch.autograd.grad(y, x, g, retain_graph=True)[0], first)


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(3, 32, 2250, 2500), (1, 160, 1850, 1900)])
def test_more_elements_than_an_int32_counts(shape, memory_format):
    needed = 2 * 6 * math.prod(shape) * 1.1
    need_gpu_memory(needed + 2**30)
    x = torch.zeros(shape, dtype=torch.bfloat16, device="cuda", memory_format=memory_format)
    x[-1, -2:, -64:, -64:] = 1
    y = up(x)
    assert y[-1, -2:, -127:-1, -127:-1].eq(1).all()
    assert y.count_nonzero() == 2 * 129 * 129
    back = down(y)
    assert back[-1, -2:, -62:-1, -62:-1].eq(1).all()
    assert back.count_nonzero() == 2 * 65 * 65
