import pytest
import torch
from torch.nn import functional

from fastsr_kernels import backend, channel_statistics, norm_act_pad
from fastsr_kernels import group_norm as module
from fastsr_kernels import group_norm_kernels as kernels
from fastsr_kernels import reflect_pad as tiles
from fastsr_kernels.group_norm import group_norm

DTYPES = norm_act_pad.DTYPES
CASES = {  # channels, groups, height, width
    "groups of one channel": (5, 5, 9, 7),
    "groups of two": (8, 4, 4, 5),
    "groups of three": (12, 4, 7, 5),
    "groups of six": (12, 2, 5, 6),
    "one group": (10, 1, 3, 3),
    "one channel": (1, 1, 6, 5),
    "one pixel": (12, 3, 1, 1),
    "a line": (6, 3, 1, 8),
    "a column": (6, 3, 8, 1),
}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
LARGE_MEAN = 16_000
"""Roundings by eps, relative to deviations about 1, where the mean is 1000: 16 of its own."""


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def parameters(x, shifted=True, narrow=False):
    """Weights of either sign, biases and shifts; float32, or `narrow`: of the dtype of x."""
    dtype = x.dtype if narrow else torch.promote_types(x.dtype, torch.float32)
    shapes = [x.shape[1:2]] * 2 + [x.shape[:2]] * shifted
    return [random(*shape, seed=3 + i, dtype=dtype).to(x.device).requires_grad_() for i, shape in enumerate(shapes)]


def call(inputs, groups, **arguments):
    x, weight, bias, *shift = inputs
    return group_norm(x, groups, weight, bias, shift=shift[0] if shift else None, **arguments)


def definition(inputs, groups, eps=1e-5, swish=True):
    x, weight, bias, *shift = inputs
    for each in shift:
        x = x + each[:, :, None, None]
    y = functional.group_norm(x, groups, weight, bias, eps)
    return functional.silu(y) if swish else y


def expectation(inputs, g, groups, **arguments):
    """Output and gradients of the definition in float64."""
    inputs = [x.detach().double().cpu().contiguous().requires_grad_() for x in inputs]
    y = definition(inputs, groups, **arguments)
    return y.detach(), *torch.autograd.grad(y, inputs, g.double().cpu())


def close(actual, expected, dtype, roundings=32, scale=1.0):
    """Equal up to so many eps of the dtype, relative to the largest number."""
    if dtype in (torch.float16, torch.bfloat16):
        roundings = 4
    atol = roundings * torch.finfo(dtype).eps * max(scale, expected.abs().max().item())
    torch.testing.assert_close(actual.detach().double().cpu(), expected, rtol=0, atol=atol)


def check(x, groups, impl=None, arrange=lambda g: g, roundings=32, shifted=True, narrow=False, **arguments):
    """Compare output and gradients with the definition; nothing that comes in may change."""
    inputs = [x.requires_grad_(), *parameters(x, shifted, narrow)]
    y = call(inputs, groups, impl=impl, **arguments)
    g = arrange(random(*y.shape, seed=1, dtype=x.dtype).to(x.device))
    before = [tensor.detach().clone() for tensor in (*inputs, g)]
    found = torch.autograd.grad(y, inputs, g)
    expected = expectation(inputs, g, groups, **arguments)
    # The gradient for a shift is a sum that cancels: its errors are those of what is summed.
    summed = expected[1].abs().sum((2, 3)).max().item()
    for i, (actual, right) in enumerate(zip((y, *found), expected, strict=True)):
        close(actual, right, x.dtype, roundings, scale=summed if i == 4 else 1.0)
    assert y.dtype == x.dtype
    assert [gradient.dtype for gradient in found] == [tensor.dtype for tensor in inputs]
    for tensor in (y, found[0]):
        assert tensor.is_contiguous(memory_format=module.memory_order(x))
    for tensor, copy in zip((*inputs, g), before, strict=True):
        assert torch.equal(tensor, copy)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(("channels", "groups", "height", "width"), CASES.values(), ids=CASES)
def test_torch_is_the_definition(channels, groups, height, width, order, dtype, poisoned):
    x = random(2, channels, height, width, dtype=dtype).contiguous(memory_format=order)
    check(x, groups, "torch")


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("swish", [False, True])
@pytest.mark.parametrize("narrow", [False, True])
def test_torch_takes_each_of_its_arguments(shifted, swish, narrow, poisoned):
    x = random(3, 12, 6, 5, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    check(x, 4, "torch", shifted=shifted, swish=swish, narrow=narrow)


@pytest.mark.parametrize("channels", [1, 4])
def test_torch_takes_any_strides(channels, layout, poisoned):
    check(layout(random(2, channels, 7, 6)), (channels + 1) // 2, arrange=layout)


@pytest.mark.parametrize("order", FORMATS.values(), ids=FORMATS)
def test_torch_takes_the_gradient_of_a_sum(order, poisoned):
    x = random(2, 4, 7, 6).contiguous(memory_format=order)
    check(x, 2, arrange=lambda g: g[0, 0, 0, 0].expand(g.shape))


@pytest.mark.parametrize("order", FORMATS.values(), ids=FORMATS)
def test_torch_takes_strided_parameters(order):
    check_strided_parameters("torch", "cpu", order)


def check_strided_parameters(impl, device, order):
    x = random(2, 4, 5, 4, dtype=torch.float32).to(device).contiguous(memory_format=order).requires_grad_()
    weight, bias = random(4, 2, seed=1, dtype=torch.float32).to(device).T
    shift = random(4, 2, seed=2, dtype=torch.float32).to(device).T
    y = group_norm(x, 2, weight, bias, shift=shift, impl=impl)
    assert torch.equal(y, group_norm(x, 2, weight.clone(), bias.clone(), shift=shift.contiguous(), impl=impl))


@pytest.mark.parametrize("order", FORMATS.values(), ids=FORMATS)
def test_torch_uses_eps(order):
    check(random(2, 4, 5, 4, dtype=torch.float32).contiguous(memory_format=order), 2, "torch", eps=0.5)


def test_gradient_in_channels_last_is_our_own_where_groups_are_narrow():
    x = random(2, 16, 5, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight, bias = (parameter.detach() for parameter in parameters(x, shifted=False))

    def is_own(x, groups):
        return "_GroupNorm" in type(group_norm(x, groups, weight, bias, swish=False).grad_fn).__name__

    assert is_own(x, 8)
    assert not is_own(x, 4)  # 32 bytes
    assert not is_own(x.contiguous(), 8)
    assert not is_own(x.detach(), 8)
    with torch.no_grad():
        assert not is_own(x, 8)


@pytest.mark.parametrize("order", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("swish", [False, True])
def test_gradients_of_any_order(swish, shifted, order):
    x = random(2, 4, 2, 3).contiguous(memory_format=order).requires_grad_()
    inputs = x, *parameters(x, shifted)

    def function(*inputs):
        return call(inputs, 2, swish=swish)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_inputs_that_depend_on_each_other(create_graph):
    x = random(2, 4, 5, 4).contiguous(memory_format=torch.channels_last).requires_grad_()

    def gradient(function, **arguments):
        both = x.square().mean((0, 2, 3))
        shift = x.mean((2, 3))
        return torch.autograd.grad((function([x, both, both, shift], 2) ** 3).sum(), x, **arguments)[0]

    torch.testing.assert_close(gradient(call, create_graph=create_graph), gradient(definition))


@pytest.mark.parametrize("wanted", range(4))
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradient_of_one_input(wanted, create_graph):
    x = random(2, 4, 5, 4).contiguous(memory_format=torch.channels_last)
    inputs = [x, *(parameter.detach() for parameter in parameters(x))]
    inputs[wanted].requires_grad_()
    y = call(inputs, 2)
    g = random(*y.shape, seed=1)
    (found,) = torch.autograd.grad(y, inputs[wanted], g, create_graph=create_graph)
    close(found, expectation(inputs, g, 2)[1 + wanted], torch.float64, scale=10)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("order", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_autocast_changes_nothing(dtype, order, create_graph):
    x = random(2, 4, 6, 5, dtype=dtype).contiguous(memory_format=order).requires_grad_()
    inputs = [x, *parameters(x)]
    g = random(2, 4, 6, 5, seed=1, dtype=dtype)

    def run():
        y = call(inputs, 2)
        return y, *torch.autograd.grad(y, inputs, g, create_graph=create_graph)

    expected = run()
    with torch.autocast("cpu", torch.bfloat16):
        found = run()
    for actual, wanted in zip(found, expected, strict=True):
        assert actual.dtype == wanted.dtype
        assert torch.equal(actual, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("order", FORMATS.values(), ids=FORMATS)
def test_operators_are_registered_rightly(order, shifted, dtype):
    check_operators(random(2, 6, 6, 5, dtype=dtype).contiguous(memory_format=order), shifted, False, "torch")


def check_operators(x, shifted, swish, impl):
    vectors = [parameter.detach() for parameter in parameters(x, shifted)]
    vectors += [None] * (3 - len(vectors))
    operators = torch.ops.fastsr
    torch.library.opcheck(operators.group_norm.default, (x, *vectors, 2, 1e-5, swish, impl))
    _, *statistics = operators.group_norm(x, *vectors, 2, 1e-5, swish, impl)
    g = random(*x.shape, seed=1, dtype=x.dtype).to(x.device)
    torch.library.opcheck(operators.group_norm_backward.default, (g, x, *vectors, *statistics, 2, swish, impl))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own compiler does
def test_compiles_without_a_break(compile_and_trace):
    def function(x, weight, bias, shift):
        return (call((x * 2, weight, bias, shift), 2) ** 3).sum()

    compiled, graphs = compile_and_trace(function)
    x = random(2, 4, 5, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    inputs = x, *parameters(x)
    torch.testing.assert_close(compiled(*inputs), function(*inputs))
    torch.testing.assert_close(
        torch.autograd.grad(compiled(*inputs), inputs), torch.autograd.grad(function(*inputs), inputs)
    )
    forward, backward = graphs
    assert forward.count(torch.ops.fastsr.group_norm.default) == 1
    assert backward.count(torch.ops.fastsr.group_norm_backward.default) == 1


X = torch.zeros(2, 4, 5, 4)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": X.to(torch.uint8)}, TypeError, "x must be float16, .*, not torch.uint8"),
        ({"x": X[0]}, ValueError, r"x must have the shape \(N, C, H, W\).*, not \(4, 5, 4\)"),
        ({"x": X[:0]}, ValueError, r"x must have .* none of them 0, not \(0, 4, 5, 4\)"),
        ({"x": X[:, :, :1, :1], "groups": 4}, ValueError, r"single number .* has the shape \(2, 4, 1, 1\)"),
        ({"groups": 3}, ValueError, "groups=3 does not divide the 4 channels of x"),
        ({"groups": 0}, ValueError, "groups=0 does not divide the 4 channels of x"),
        ({"groups": -2}, ValueError, "groups=-2 does not divide"),
        ({"eps": -1.0}, ValueError, "eps=-1.0 is not a variance"),
        ({"eps": float("nan")}, ValueError, "eps=nan"),
        ({"weight": torch.ones(4).half()}, TypeError, "weight must be torch.float32 for .*, not torch.float16"),
        ({"x": X.half(), "bias": torch.ones(4).double()}, TypeError, "bias must be torch.float16 or torch.float32 for"),
        ({"weight": torch.ones(5)}, ValueError, r"weight must have the shape \(4,\) on cpu, not \(5,\) on cpu"),
        ({"bias": torch.ones(4, device="meta")}, ValueError, r"bias .* \(4,\) on cpu, not \(4,\) on meta"),
        ({"shift": torch.ones(4)}, ValueError, r"shift must have the shape \(2, 4\) on cpu, not \(4,\) on cpu"),
        ({"shift": torch.ones(2, 4).long()}, TypeError, "shift must be torch.float32 for .*, not torch.int64"),
        ({"impl": "cuda"}, ValueError, "impl='cuda' is not an implementation"),
    ],
)
def test_bad_arguments_are_named(changes, error, message):
    arguments = {"x": X, "groups": 2, "weight": torch.ones(4), "bias": torch.ones(4)}
    with pytest.raises(error, match=message):
        group_norm(**arguments | changes)


# The kernels: in the interpreter, or on a GPU

FITTING = {"one pass": 8192, "two passes": 0}


@pytest.fixture(params=FITTING.values(), ids=FITTING)
def passes(request, monkeypatch):
    """Whether a program takes a whole group, as it does with so few numbers, or some of its pixels."""
    monkeypatch.setattr(kernels, "FITTING", request.param)


@pytest.mark.triton
@pytest.mark.parametrize("order", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(("channels", "groups", "height", "width"), CASES.values(), ids=CASES)
def test_kernels_are_the_definition(channels, groups, height, width, order, passes, kernel_device, poisoned):
    x = random(2, channels, height, width, dtype=torch.float32).to(kernel_device).contiguous(memory_format=order)
    check(x, groups, "triton")


@pytest.mark.triton
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("swish", [False, True])
@pytest.mark.parametrize("narrow", [False, True])
def test_kernels_take_each_of_their_arguments(shifted, swish, narrow, passes, kernel_device, poisoned):
    x = random(2, 6, 4, 5, dtype=torch.float16).to(kernel_device).contiguous(memory_format=torch.channels_last)
    check(x, 2, "triton", shifted=shifted, swish=swish, narrow=narrow)


@pytest.mark.triton
@pytest.mark.parametrize(("channels", "groups"), [(64, 4), (96, 2), (132, 4), (192, 1)])
@pytest.mark.parametrize("order", FORMATS.values(), ids=FORMATS)
def test_kernels_take_any_number_of_channels(channels, groups, order, passes, kernel_device, poisoned):
    x = random(1, channels, 5, 4, dtype=torch.float32).to(kernel_device).contiguous(memory_format=order)
    check(x, groups, "triton")


@pytest.mark.triton
def test_kernels_take_any_strides(layout, passes, kernel_device, poisoned):
    x = layout(random(2, 4, 7, 6, dtype=torch.float32).to(kernel_device))
    check(x, 2, "triton", layout)


@pytest.mark.triton
def test_kernels_take_a_part_of_the_channels_as_it_is(passes, kernel_device, poisoned):
    larger = random(2, 5, 6, 10, dtype=torch.float32).to(kernel_device).permute(0, 3, 1, 2)
    x, g = larger[:, 2:8].detach(), larger[:, :6].detach()
    assert kernels.rows(x, torch.empty_like(x)).data_ptr() == x.data_ptr()
    check(x, 3, "triton", arrange=lambda _: g)


@pytest.mark.triton
@pytest.mark.parametrize("axis", [0, 1])
def test_kernels_take_strides_beyond_an_int32(axis, passes, far_apart):
    x = far_apart(random(*(3 if i == axis else 2 for i in range(4)), dtype=torch.float16), axis)
    groups = 1 if axis else 2
    check(x, groups, "triton")
    # The gradient of the same strides, of which that memory has room for one.
    inputs = [random(*x.shape, seed=2, dtype=x.dtype).to(x.device).requires_grad_(), *parameters(x)]
    g = x.detach()
    found = torch.autograd.grad(call(inputs, groups, impl="triton"), inputs, g)
    for actual, expected in zip(found, expectation(inputs, g, groups)[1:], strict=True):
        close(actual, expected, x.dtype)


@pytest.mark.triton
def test_kernels_take_the_gradient_of_a_sum(passes, kernel_device, poisoned):
    x = random(2, 4, 7, 6, dtype=torch.float32).to(kernel_device).contiguous(memory_format=torch.channels_last)
    check(x, 2, "triton", lambda g: g[0, 0, 0, 0].expand(g.shape))


@pytest.mark.triton
@pytest.mark.parametrize("order", FORMATS.values(), ids=FORMATS)
def test_kernels_take_strided_parameters(order, passes, kernel_device):
    check_strided_parameters("triton", kernel_device, order)


@pytest.mark.triton
def test_kernels_use_eps(passes, kernel_device):
    check(random(2, 4, 5, 4, dtype=torch.float32).to(kernel_device), 2, "triton", eps=0.5)


@pytest.mark.triton
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_kernels_round_once(dtype, passes, kernel_device, poisoned):
    if dtype == torch.bfloat16 and backend.interpreted():
        pytest.skip("bfloat16 arithmetic is wrong in Triton's interpreter")
    x = random(2, 12, 9, 8, dtype=dtype).to(kernel_device).contiguous(memory_format=torch.channels_last)
    inputs = [x.requires_grad_(), *parameters(x)]
    y = call(inputs, 4, impl="triton")
    g = random(*y.shape, seed=1, dtype=dtype).to(kernel_device)
    found = y, *torch.autograd.grad(y, inputs, g)
    for actual, expected in zip(found, expectation(inputs, g, 4), strict=True):
        rounding = torch.finfo(actual.dtype).eps / 2 * expected.abs()
        assert ((actual.detach().double().cpu() - expected).abs() <= rounding + 4e-5).all()


@pytest.mark.triton
@pytest.mark.parametrize("order", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(
    ("channels", "groups", "block", "programs", "parts"),
    [(6, 2, 256, 4, 4096), (6, 2, 256, 512, 16), (5, 1, 1024, 3, 8), (132, 3, 2048, 4, 4096)],
)
def test_reductions_of_several_programs(
    channels, groups, block, programs, parts, order, kernel_device, poisoned, monkeypatch
):
    """Programs of several blocks, or one block each; the last block is not full, and the last program has fewer."""
    monkeypatch.setattr(kernels, "FITTING", 0)
    monkeypatch.setattr(kernels, "PARTS", parts)
    monkeypatch.setattr(kernels, "BLOCK", block)
    monkeypatch.setattr(channel_statistics, "PROGRAMS", programs)
    monkeypatch.setattr(tiles, "BLOCK", block)
    x = random(2, channels, 11, 7, dtype=torch.float32).to(kernel_device)
    x *= torch.linspace(0.5, 3, 11, device=kernel_device)[:, None]
    x += torch.linspace(-4, 4, 11, device=kernel_device)[:, None]  # what the programs see differs
    x += torch.linspace(-2, 2, channels, device=kernel_device)[:, None, None]
    check(x.contiguous(memory_format=order), groups, "triton")


@pytest.mark.triton
def test_larger_groups_take_two_passes(kernel_device, poisoned, monkeypatch):
    monkeypatch.setattr(kernels, "group_kernel", None)
    x = random(1, 8, 64, 66, dtype=torch.float32).to(kernel_device).contiguous(memory_format=torch.channels_last)
    check(x, 4, "triton")


@pytest.mark.triton
@pytest.mark.parametrize("order", FORMATS.values(), ids=FORMATS)
def test_kernels_keep_small_variations_of_a_large_mean(order, passes, kernel_device):
    x = 1000 + random(1, 4, 20, 30, dtype=torch.float32).to(kernel_device).contiguous(memory_format=order)
    check(x, 2, "triton", roundings=LARGE_MEAN)


@pytest.mark.triton
def test_kernel_gradients_of_any_order(kernel_device):
    x = random(2, 4, 3, 4, dtype=torch.float32).to(kernel_device).requires_grad_()
    inputs = [x, *parameters(x)]
    g = random(2, 4, 3, 4, seed=1, dtype=torch.float32).to(kernel_device).requires_grad_()

    def second(function, inputs, g):
        first = torch.autograd.grad(function(inputs, 2), inputs, g, create_graph=True)
        return torch.autograd.grad(sum((gradient**2).sum() for gradient in first), (*inputs, g))

    found = second(lambda *a: call(*a, impl="triton"), inputs, g)
    exact = [tensor.detach().double().cpu().requires_grad_() for tensor in (*inputs, g)]
    for actual, expected in zip(found, second(definition, exact[:-1], exact[-1]), strict=True):
        close(actual, expected, torch.float32)


@pytest.mark.triton
@pytest.mark.parametrize(("order", "shifted"), [(torch.contiguous_format, True), (torch.channels_last, False)])
def test_operators_of_the_kernels_are_registered_rightly(order, shifted, kernel_device):
    x = random(2, 6, 6, 5, dtype=torch.float32).to(kernel_device).contiguous(memory_format=order)
    check_operators(x, shifted, True, "triton")


@pytest.mark.triton
def test_float64_runs_in_torch(kernel_device):
    check(random(2, 4, 5, 4).to(kernel_device), 2, "triton")


on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("shape", [(2, 64, 200, 300), (4, 512, 16, 16)])
def test_the_same_call_gives_the_same_bits(shape):
    x = torch.randn(shape, device="cuda").contiguous(memory_format=torch.channels_last).requires_grad_()
    inputs = [x, *parameters(x)]
    y = call(inputs, 32)
    g = torch.randn_like(y)
    first = torch.autograd.grad(y, inputs, g, retain_graph=True)
    for _ in range(3):
        assert torch.equal(call(inputs, 32), y)
        again = torch.autograd.grad(y, inputs, g, retain_graph=True)
        assert all(torch.equal(a, b) for a, b in zip(again, first, strict=True))


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_torch_takes_parameters_of_float32_on_a_gpu(dtype, kernel_device):
    check(random(2, 12, 7, 5, dtype=dtype).to(kernel_device), 4, "torch")
