"""What `style_epilogue` is for torch, and its implementation in torch."""

import pytest
import torch

from fastsr_kernels.arguments import DTYPES
from fastsr_kernels.style import style_epilogue
from tests.kernels.checks import ORDERS, check_autocast, check_compiled, random
from tests.kernels.style_cases import (
    CASES,
    NOISES,
    call,
    check,
    check_large_mean,
    check_one_gradient,
    check_operators,
    check_wanted_sums,
    formula,
    others,
)


@pytest.mark.parametrize("blur", [False, True])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("shape", CASES.values(), ids=CASES)
def test_torch_is_the_formula(shape, order, blur, poisoned):
    check(random(2, *shape, dtype=torch.float32).contiguous(memory_format=order), "torch", blur=blur)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("noises", NOISES.values(), ids=NOISES)
def test_torch_takes_each_of_its_arguments(noises, narrow, dtype, poisoned):
    x = random(2, 3, 6, 5, dtype=dtype)
    check(x, "torch", noises=noises, narrow=narrow, blur=True, slope=0.1, eps=0.5)


@pytest.mark.parametrize("slope", [0, 1])
def test_torch_takes_any_slope(slope):
    check(random(2, 3, 6, 5), slope=slope)


def test_torch_takes_any_strides(layout, poisoned):
    check(layout(random(2, 3, 7, 6)), arrange=layout, blur=True)


def test_torch_takes_an_expanded_gradient(poisoned):
    check(random(2, 3, 7, 6), arrange=lambda g: g[:1, :1, :, :1].expand(g.shape))


@pytest.mark.parametrize(("blur", "noises"), [(False, 2), (True, 1), (True, 0)])
def test_gradients_of_any_order(blur, noises):
    x = random(2, 2, 2, 3).requires_grad_()
    inputs = x, *others(x, noises)

    def function(*inputs):
        return call(inputs, blur=blur)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_inputs_that_depend_on_each_other(create_graph):
    x = random(2, 4, 5, 4).requires_grad_()

    def gradient(function, **arguments):
        both = x.square().mean((0, 2, 3))
        style, noise = torch.stack((x, x**2), 1).mean((3, 4)), x.mean(1, keepdim=True)
        return torch.autograd.grad((function([x, both, style, noise, both]) ** 3).sum(), x, **arguments)[0]

    torch.testing.assert_close(gradient(call, create_graph=create_graph), gradient(formula))


@pytest.mark.parametrize("wanted", range(5))
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradient_of_one_input(wanted, create_graph):
    check_one_gradient(wanted, create_graph, random(2, 3, 5, 4), "torch")


def test_only_the_sums_that_are_wanted_are_made():
    check_wanted_sums(random(2, 3, 5, 4, dtype=torch.float32), "torch")


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_autocast_changes_nothing(dtype, create_graph):
    x = random(2, 4, 6, 5, dtype=dtype).requires_grad_()
    inputs = [x, *others(x)]
    g = random(2, 4, 6, 5, seed=1, dtype=dtype)

    def run():
        y = call(inputs, blur=True)
        return y, *torch.autograd.grad(y, inputs, g, create_graph=create_graph)

    check_autocast(run)


@pytest.mark.parametrize("noises", [0, 1])
def test_operators_are_registered_rightly(noises):
    x = random(2, 3, 6, 5, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    check_operators(x, noises, "torch")


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own compiler does
def test_compiles_without_a_break(compile_and_trace):
    def function(x, *others):
        return (call((x * 2, *others), blur=True) ** 3).sum()

    x = random(2, 3, 5, 4).requires_grad_()
    operators = torch.ops.fastsr.style_epilogue.default, torch.ops.fastsr.style_epilogue_backward.default
    check_compiled(compile_and_trace, function, (x, *others(x)), operators)


def test_torch_keeps_small_variations_of_a_large_mean():
    check_large_mean("torch", "cpu")


X = torch.zeros(2, 4, 5, 3)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": X.to(torch.uint8)}, TypeError, "x must be float16, .*, not torch.uint8"),
        ({"x": X[0]}, ValueError, r"x must have the shape \(N, C, H, W\).*, not \(4, 5, 3\)"),
        ({"x": X[:, :, :1, :1]}, ValueError, r"single pixel .* has the shape \(2, 4, 1, 1\)"),
        ({"slope": -0.1}, ValueError, "slope=-0.1 is not a slope"),
        ({"eps": float("nan")}, ValueError, "eps=nan is not a variance"),
        ({"noise_weight": None}, ValueError, "noise_weight is None, but there is noise"),
        ({"noise": X[:, :1, :3]}, ValueError, r"noise must have the shape \(2, 1, 5, 3\) on cpu, not \(2, 1, 3, 3\)"),
        ({"noise": X[:1, :2]}, ValueError, r"noise must have the shape \(1, 1, 5, 3\) on cpu, not \(1, 2, 5, 3\)"),
        ({"noise": X[0, 0, 0, 0]}, ValueError, r"noise must have the shape \(2, 1, 5, 3\) on cpu, not \(\)"),
        ({"noise_weight": torch.ones(5)}, ValueError, r"noise_weight must have the shape \(4,\)"),
        ({"bias": torch.ones(4).half()}, TypeError, "bias must be torch.float32 for .*, not torch.float16"),
        ({"bias": torch.ones(4, device="meta")}, ValueError, r"bias .* \(4,\) on cpu, not \(4,\) on meta"),
        ({"style": torch.ones(2, 8)}, ValueError, r"style must have the shape \(2, 2, 4\) on cpu, not \(2, 8\)"),
        ({"impl": "cuda"}, ValueError, "impl='cuda' is not an implementation"),
    ],
)
def test_bad_arguments_are_named(changes, error, message):
    arguments = {
        "x": X,
        "noise": X[:, :1],
        "noise_weight": torch.ones(4),
        "bias": torch.ones(4),
        "style": torch.ones(2, 2, 4),
    }
    with pytest.raises(error, match=message):
        style_epilogue(**arguments | changes)
