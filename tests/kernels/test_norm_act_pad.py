import pytest
import torch
from torch.nn import functional

from fastsr_kernels import channel_statistics, norm_act_pad, tiles
from fastsr_kernels.arguments import DTYPES
from tests.kernels.checks import (
    LARGE_MEAN,
    check_autocast,
    check_compiled,
    check_rounded_once,
    check_same_bits,
    check_second_gradients,
    close,
    exact,
    half_precision,
    on_gpu,
    random,
)

CASES = {  # height, width, pad, slope
    "odd": ((9, 7), 2, 0.2),
    "no pad": ((4, 5), 0, 0.2),
    "relu": ((5, 4), 1, 0.0),
    "no activation": ((5, 6), 4, 1.0),
    "two by two": ((2, 2), 1, 0.2),
    "as far as it goes": ((4, 4), 3, 0.01),
    "one pixel each": ((1, 1), 0, 0.2),
    "a line": ((1, 8), 0, 0.2),
}
CHANNELS = [1, 3, 4, 32, 128, 132]


def parameters(channels, dtype=torch.float32, device="cpu"):
    """Weights of either sign, and biases."""
    dtype = torch.float64 if dtype == torch.float64 else torch.float32
    return [random(channels, seed=seed, dtype=dtype).to(device).requires_grad_() for seed in (3, 4)]


def definition(x, weight, bias, slope, pad, eps=1e-5):
    normal = functional.batch_norm(x, None, None, weight, bias, training=True, eps=eps)
    return functional.pad(functional.leaky_relu(normal, slope), (pad,) * 4, mode="reflect")


def expectation(inputs, g, *arguments):
    """Output and gradients of the definition in float64."""
    inputs = exact(inputs)
    y = definition(*inputs, *arguments)
    return y.detach(), *torch.autograd.grad(y, inputs, g.double().cpu())


def check(x, slope, pad, impl=None, arrange=lambda g: g, roundings=32):
    """Compare output and gradients with the definition; nothing that comes in may change."""
    inputs = [x.requires_grad_(), *parameters(x.shape[1], x.dtype, x.device)]
    y = norm_act_pad.norm_act_pad(*inputs, slope, pad, impl=impl)
    g = arrange(random(*y.shape, seed=1, dtype=x.dtype).to(x.device))
    before = [tensor.detach().clone() for tensor in (*inputs, g)]
    found = torch.autograd.grad(y, inputs, g)
    assert y.dtype == x.dtype
    assert y.is_contiguous(memory_format=torch.channels_last)
    for actual, expected in zip((y, *found), expectation(inputs, g, slope, pad), strict=True):
        close(actual, expected, x.dtype, roundings)
    assert [gradient.dtype for gradient in found] == [tensor.dtype for tensor in inputs]
    assert found[0].is_contiguous(memory_format=torch.channels_last)
    for tensor, copy in zip((*inputs, g), before, strict=True):
        assert torch.equal(tensor, copy)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "pad", "slope"), CASES.values(), ids=CASES)
def test_torch_is_the_definition(size, pad, slope, dtype, poisoned):
    check(random(2, 3, *size, dtype=dtype), slope, pad, "torch")


@pytest.mark.parametrize("channels", [1, 4])
def test_torch_takes_any_strides(channels, layout, poisoned):
    check(layout(random(2, channels, 7, 6)), 0.2, 2, arrange=layout)


def test_torch_takes_the_gradient_of_a_sum(poisoned):
    check(random(2, 3, 7, 6), 0.2, 1, arrange=lambda g: g[0, 0, 0, 0].expand(g.shape))


def test_torch_takes_strided_parameters():
    check_strided_parameters("torch", "cpu")


def check_strided_parameters(impl, device):
    x = random(2, 3, 5, 4, dtype=torch.float32).to(device)
    weight, bias = random(3, 2, seed=1, dtype=torch.float32).to(device).T
    y = norm_act_pad.norm_act_pad(x, weight, bias, 0.2, 1, impl=impl)
    assert torch.equal(y, norm_act_pad.norm_act_pad(x, weight.clone(), bias.clone(), 0.2, 1, impl=impl))


def test_torch_uses_eps():
    check_eps("torch", "cpu")


def check_eps(impl, device):
    x = random(2, 3, 5, 4, dtype=torch.float32).to(device)
    inputs = [x, *parameters(3, device=device)]
    y = norm_act_pad.norm_act_pad(*inputs, 0.2, 1, eps=0.5, impl=impl)
    expected = definition(*(tensor.detach().double().cpu() for tensor in inputs), 0.2, 1, eps=0.5)
    close(y, expected, torch.float32)


def test_torch_keeps_small_variations_of_a_large_mean():
    check(1000 + random(2, 3, 20, 30, dtype=torch.float32), 1.0, 1, "torch", roundings=LARGE_MEAN)


@pytest.mark.parametrize(("size", "pad", "slope"), [((3, 4), 1, 0.2), ((2, 3), 0, 1.0), ((3, 3), 2, 0.0)])
def test_gradients_of_any_order(size, pad, slope):
    inputs = random(2, 2, *size).requires_grad_(), *parameters(2, torch.float64)

    def function(*inputs):
        return norm_act_pad.norm_act_pad(*inputs, slope, pad)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_inputs_that_depend_on_each_other(create_graph):
    x = random(2, 3, 5, 4).requires_grad_()

    def gradient(function, **arguments):
        both = x.square().mean((0, 2, 3))
        return torch.autograd.grad((function(x, both, both, 0.2, 1) ** 3).sum(), x, **arguments)[0]

    torch.testing.assert_close(gradient(norm_act_pad.norm_act_pad, create_graph=create_graph), gradient(definition))


@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True)])
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradient_of_one_input(wanted, create_graph):
    inputs = [random(2, 3, 5, 4), *(parameter.detach() for parameter in parameters(3, torch.float64))]
    for tensor, want in zip(inputs, wanted, strict=True):
        tensor.requires_grad_(want)
    y = norm_act_pad.norm_act_pad(*inputs, 0.2, 1)
    g = random(*y.shape, seed=1)
    asked = inputs[wanted.index(True)]
    (found,) = torch.autograd.grad(y, asked, g, create_graph=create_graph)
    close(found, expectation(inputs, g, 0.2, 1)[1 + wanted.index(True)], torch.float64)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_autocast_changes_nothing(dtype, create_graph):
    inputs = [random(2, 3, 6, 5, dtype=dtype).requires_grad_(), *parameters(3)]
    g = random(2, 3, 8, 7, seed=1, dtype=dtype)

    def run():
        y = norm_act_pad.norm_act_pad(*inputs, 0.2, 1)
        return y, *torch.autograd.grad(y, inputs, g, create_graph=create_graph)

    check_autocast(run)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_operators_are_registered_rightly(channels, dtype):
    check_operators(random(2, channels, 6, 5, dtype=dtype), "torch")


def check_operators(x, impl):
    weight, bias = (parameter.detach() for parameter in parameters(x.shape[1], x.dtype, x.device))
    operators = torch.ops.fastsr
    torch.library.opcheck(operators.norm_act_pad.default, (x, weight, bias, 0.2, 1, 1e-5, impl))
    y, *statistics = operators.norm_act_pad(x, weight, bias, 0.2, 1, 1e-5, impl)
    y = y if impl == "torch" else None
    g = random(*x.shape[:2], 8, 7, seed=1, dtype=x.dtype).to(x.device)
    arguments = g, x, weight, bias, *statistics, y, 0.2, 1, impl
    torch.library.opcheck(operators.norm_act_pad_backward.default, arguments)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own compiler does
def test_compiles_without_a_break(compile_and_trace):
    def function(x, weight, bias):
        return (norm_act_pad.norm_act_pad(x * 2, weight, bias, 0.2, 1) ** 3).sum()

    inputs = random(2, 3, 5, 4).requires_grad_(), *parameters(3, torch.float64)
    operators = torch.ops.fastsr.norm_act_pad.default, torch.ops.fastsr.norm_act_pad_backward.default
    check_compiled(compile_and_trace, function, inputs, operators)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": torch.zeros(2, 3, 5, 4, dtype=torch.uint8)}, TypeError, "x must be float16, .*, not torch.uint8"),
        ({"x": torch.zeros(3, 5, 4)}, ValueError, r"x must have the shape \(N, C, H, W\).*, not \(3, 5, 4\)"),
        ({"x": torch.zeros(4)}, ValueError, r"x must have the shape \(N, C, H, W\).*, not \(4,\)"),
        ({"x": torch.zeros(1, 3, 1, 1), "pad": 0}, ValueError, r"single pixel .* has the shape \(1, 3, 1, 1\)"),
        ({"x": torch.zeros(0, 3, 5, 4)}, ValueError, r"x must have .* none of them 0, not \(0, 3, 5, 4\)"),
        ({"x": torch.zeros(2, 0, 5, 4)}, ValueError, r"x must have .* none of them 0, not \(2, 0, 5, 4\)"),
        ({"eps": -1.0}, ValueError, "eps=-1.0 is not a variance"),
        ({"x": torch.zeros(2, 3, 5, 4).double()}, TypeError, "weight must be torch.float64 for .* torch.float64"),
        ({"weight": torch.ones(3).half()}, TypeError, "weight must be torch.float32 .*, not torch.float16"),
        ({"bias": torch.ones(3).double()}, TypeError, "bias must be torch.float32 .*, not torch.float64"),
        ({"weight": torch.ones(4)}, ValueError, r"weight must have the shape \(3,\) on cpu, not \(4,\) on cpu"),
        ({"bias": torch.ones(3, 1)}, ValueError, r"bias must have the shape \(3,\) on cpu, not \(3, 1\) on cpu"),
        ({"bias": torch.ones(3, device="meta")}, ValueError, r"bias .* \(3,\) on cpu, not \(3,\) on meta"),
        ({"slope": -0.5}, ValueError, "slope=-0.5 is not a slope"),
        ({"slope": float("nan")}, ValueError, "slope=nan"),
        ({"pad": -1}, ValueError, r"pad=\(-1, -1\) is negative"),
        ({"pad": 4}, ValueError, "5x4 pixels .* 4 rows and 4 columns; each pad must be less than the side"),
    ],
)
def test_bad_arguments_are_named(changes, error, message):
    arguments = {"x": torch.zeros(2, 3, 5, 4), "weight": torch.ones(3), "bias": torch.ones(3), "slope": 0.2, "pad": 1}
    with pytest.raises(error, match=message):
        norm_act_pad.norm_act_pad(**arguments | changes)


# The kernels: in the interpreter, or on a GPU


@pytest.mark.triton
@pytest.mark.parametrize(("size", "pad", "slope"), CASES.values(), ids=CASES)
def test_kernels_are_the_definition(size, pad, slope, kernel_device, poisoned):
    check(random(2, 3, *size, dtype=torch.float32).to(kernel_device), slope, pad, "triton")


@pytest.mark.triton
@pytest.mark.parametrize("channels", CHANNELS)
def test_kernels_take_any_number_of_channels(channels, kernel_device, poisoned):
    check(random(2, channels, 5, 4, dtype=torch.float32).to(kernel_device), 0.2, 3, "triton")


@pytest.mark.triton
def test_kernels_take_any_strides(layout, kernel_device, poisoned):
    for channels in (4, 5):
        x = layout(random(2, channels, 7, 6, dtype=torch.float32).to(kernel_device))
        check(x, 0.2, 2, "triton", layout)


@pytest.mark.triton
@pytest.mark.parametrize("axis", [0, 2, 3])
def test_kernels_take_strides_beyond_an_int32(axis, far_apart):
    x = far_apart(random(*(3 if i == axis else 2 for i in range(4)), dtype=torch.float16), axis)
    check(x, 0.2, 0, "triton")
    # The gradient of the same strides, of which that memory has room for one.
    inputs = [random(*x.shape, seed=2, dtype=x.dtype).to(x.device).requires_grad_(), *parameters(2, device=x.device)]
    g = x.detach()
    found = torch.autograd.grad(norm_act_pad.norm_act_pad(*inputs, 0.2, 0, impl="triton"), inputs, g)
    for actual, expected in zip(found, expectation(inputs, g, 0.2, 0)[1:], strict=True):
        close(actual, expected, x.dtype)


@pytest.mark.triton
def test_kernels_take_the_gradient_of_a_sum(kernel_device, poisoned):
    x = random(2, 4, 7, 6, dtype=torch.float32).to(kernel_device)
    check(x, 0.2, 1, "triton", lambda g: g[0, 0, 0, 0].expand(g.shape))


@pytest.mark.triton
def test_kernels_take_strided_parameters(kernel_device):
    check_strided_parameters("triton", kernel_device)


@pytest.mark.triton
def test_kernels_use_eps(kernel_device):
    check_eps("triton", kernel_device)


@pytest.mark.triton
@half_precision
def test_kernels_round_once(dtype, kernel_device, poisoned):
    x = random(2, 32, 9, 8, dtype=dtype).to(kernel_device).requires_grad_()
    inputs = [x, *parameters(32, device=kernel_device)]
    y = norm_act_pad.norm_act_pad(*inputs, 0.2, 2, impl="triton")
    g = random(*y.shape, seed=1, dtype=dtype).to(kernel_device)
    found = y, *torch.autograd.grad(y, inputs, g)
    check_rounded_once(found, expectation(inputs, g, 0.2, 2), 2e-5)


@pytest.mark.triton
@pytest.mark.parametrize(("channels", "block", "programs"), [(4, 256, 1), (4, 256, 512), (5, 1024, 3), (132, 2048, 2)])
def test_reductions_of_several_programs(channels, block, programs, kernel_device, poisoned, monkeypatch):
    """Programs of several blocks, or one block each; the last block is not full, and the last program has fewer."""
    monkeypatch.setattr(channel_statistics, "PROGRAMS", programs)
    monkeypatch.setattr(tiles, "BLOCK", block)
    x = random(3, channels, 11, 7, dtype=torch.float32).to(kernel_device)
    x *= torch.linspace(0.5, 3, 11, device=kernel_device)[:, None]
    x += torch.linspace(-4, 4, 11, device=kernel_device)[:, None]  # what the programs see differs
    check(x, 0.2, 1, "triton")


@pytest.mark.triton
def test_enough_pixels_for_several_programs(kernel_device, poisoned):
    check(random(2, 8, 33, 31, dtype=torch.float32).to(kernel_device), 0.2, 2, "triton")


@pytest.mark.triton
@pytest.mark.parametrize("programs", [2, 512])
def test_kernels_keep_small_variations_of_a_large_mean(programs, kernel_device, monkeypatch):
    monkeypatch.setattr(channel_statistics, "PROGRAMS", programs)
    x = 1000 + random(2, 4, 40, 30, dtype=torch.float32).to(kernel_device)
    check(x, 1.0, 1, "triton", roundings=LARGE_MEAN)


@pytest.mark.triton
def test_kernel_gradients_of_any_order(kernel_device):
    x = random(2, 3, 5, 4, dtype=torch.float32).to(kernel_device).requires_grad_()
    g = random(2, 3, 7, 6, seed=1, dtype=torch.float32).to(kernel_device).requires_grad_()
    check_second_gradients(
        lambda *inputs: norm_act_pad.norm_act_pad(*inputs, 0.2, 1, impl="triton"),
        lambda *inputs: definition(*inputs, 0.2, 1),
        [x, *parameters(3, device=kernel_device)],
        g,
    )


@pytest.mark.triton
@pytest.mark.parametrize("channels", [1, 3])
def test_operators_of_the_kernels_are_registered_rightly(channels, kernel_device):
    check_operators(random(2, channels, 6, 5, dtype=torch.float32).to(kernel_device), "triton")


@pytest.mark.triton
def test_float64_runs_in_torch(kernel_device):
    check(random(2, 3, 5, 4).to(kernel_device), 0.2, 1, "triton")


@pytest.mark.triton
@on_gpu
def test_the_same_call_gives_the_same_bits():
    inputs = [torch.randn(2, 128, 200, 300, device="cuda", requires_grad=True), *parameters(128, device="cuda")]
    check_same_bits(lambda *inputs: norm_act_pad.norm_act_pad(*inputs, 0.2, 1), inputs)
