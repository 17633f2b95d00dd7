"""What `group_norm` is for torch, and its implementation in torch."""

import pytest
import torch

from fastsr_kernels.arguments import DTYPES
from fastsr_kernels.group_norm import group_norm
from tests.kernels.checks import ORDERS, check_autocast, check_compiled, close, random
from tests.kernels.group_norm_cases import (
    CASES,
    call,
    check,
    check_operators,
    check_strided_parameters,
    definition,
    expectation,
    parameters,
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
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


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_torch_takes_the_gradient_of_a_sum(order, poisoned):
    x = random(2, 4, 7, 6).contiguous(memory_format=order)
    check(x, 2, arrange=lambda g: g[0, 0, 0, 0].expand(g.shape))


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_torch_takes_strided_parameters(order):
    check_strided_parameters("torch", "cpu", order)


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
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


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
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
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_autocast_changes_nothing(dtype, order, create_graph):
    x = random(2, 4, 6, 5, dtype=dtype).contiguous(memory_format=order).requires_grad_()
    inputs = [x, *parameters(x)]
    g = random(2, 4, 6, 5, seed=1, dtype=dtype)

    def run():
        y = call(inputs, 2)
        return y, *torch.autograd.grad(y, inputs, g, create_graph=create_graph)

    check_autocast(run)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_operators_are_registered_rightly(order, shifted, dtype):
    check_operators(random(2, 6, 6, 5, dtype=dtype).contiguous(memory_format=order), shifted, False, "torch")


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own compiler does
def test_compiles_without_a_break(compile_and_trace):
    def function(x, weight, bias, shift):
        return (call((x * 2, weight, bias, shift), 2) ** 3).sum()

    x = random(2, 4, 5, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    operators = torch.ops.fastsr.group_norm.default, torch.ops.fastsr.group_norm_backward.default
    check_compiled(compile_and_trace, function, (x, *parameters(x)), operators)


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
