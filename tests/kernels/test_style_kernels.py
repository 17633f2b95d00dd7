"""The kernels of `style_epilogue`: in the interpreter, or on a GPU."""

import pytest
import torch

from fastsr_kernels import channel_statistics
from fastsr_kernels import style_kernels as kernels
from tests.kernels.checks import (
    ORDERS,
    check_rounded_once,
    check_same_bits,
    check_second_gradients,
    half_precision,
    on_gpu,
    random,
)
from tests.kernels.style_cases import (
    CASES,
    call,
    check,
    check_large_mean,
    check_one_gradient,
    check_operators,
    check_wanted_sums,
    expectation,
    formula,
    others,
)

FITTING = {"one pass": 4096, "two passes": 0}


@pytest.fixture(params=FITTING.values(), ids=FITTING)
def passes(request, monkeypatch):
    """Whether a program takes a whole plane, as it does with so few numbers, or some of its pixels."""
    monkeypatch.setattr(kernels, "FITTING", request.param)


@pytest.mark.triton
@pytest.mark.parametrize(
    ("case", "order", "blur"),
    [
        ("odd sides", "contiguous", False),
        ("odd sides", "contiguous", True),
        ("odd sides", "channels_last", False),
        ("odd sides", "channels_last", True),
        ("one channel", "contiguous", True),
        ("a line", "channels_last", True),
        ("a column", "contiguous", True),
    ],
)
def test_kernels_are_the_formula(case, order, blur, passes, kernel_device, poisoned):
    x = random(2, *CASES[case], dtype=torch.float32).to(kernel_device).contiguous(memory_format=ORDERS[order])
    check(x, "triton", blur=blur)


@pytest.mark.triton
@pytest.mark.parametrize(("noises", "narrow"), [(0, True), (1, False), (2, True)])
def test_kernels_take_each_of_their_arguments(noises, narrow, passes, kernel_device, poisoned):
    x = random(2, 3, 6, 5, dtype=torch.float16).to(kernel_device)
    check(x, "triton", noises=noises, narrow=narrow, slope=0.1, eps=0.5)


@pytest.mark.triton
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_kernels_take_any_number_of_channels(order, passes, kernel_device, poisoned):
    x = random(1, 132, 3, 4, dtype=torch.float32).to(kernel_device).contiguous(memory_format=order)
    check(x, "triton")


@pytest.mark.triton
def test_kernels_take_any_strides(layout, kernel_device, poisoned):
    check(layout(random(2, 3, 7, 6, dtype=torch.float32).to(kernel_device)), "triton", layout, blur=True)


@pytest.mark.triton
@pytest.mark.parametrize("axis", [0, 1])
def test_kernels_take_strides_beyond_an_int32(axis, passes, far_apart):
    x = far_apart(random(*(3 if i == axis else 2 for i in range(4)), dtype=torch.float16), axis)
    check(x, "triton", blur=True)


@pytest.mark.triton
def test_kernels_take_an_expanded_gradient(passes, kernel_device, poisoned):
    x = random(2, 3, 7, 6, dtype=torch.float32).to(kernel_device)
    check(x, "triton", lambda g: g[:1, :1, :, :1].expand(g.shape))


@pytest.mark.triton
def test_kernels_take_strided_vectors(passes, kernel_device):
    x = random(2, 3, 7, 6, dtype=torch.float32).to(kernel_device).requires_grad_()
    dense = [x, *(tensor.detach() for tensor in others(x))]
    strided = [x, *(torch.stack((tensor, tensor), -1)[..., 0] for tensor in dense[1:])]
    found, expected = [
        torch.autograd.grad(call(inputs, impl="triton")[0, 0, 0, 0], x)[0] for inputs in (strided, dense)
    ]
    assert torch.equal(found, expected)


@pytest.mark.triton
@half_precision
def test_kernels_round_once(dtype, passes, kernel_device, poisoned):
    x = random(2, 4, 9, 8, dtype=dtype).to(kernel_device)
    inputs = [x.requires_grad_(), *others(x)]
    y = call(inputs, impl="triton", blur=True)
    g = random(*y.shape, seed=1, dtype=dtype).to(kernel_device)
    found = y, *torch.autograd.grad(y, inputs, g)
    check_rounded_once(found, expectation(inputs, g, blur=True), 4e-5)


@pytest.mark.triton
@pytest.mark.parametrize(
    ("channels", "block", "programs", "order"),
    [(2, 32, 4, "contiguous"), (1, 32, 512, "contiguous"), (20, 512, 2, "channels_last")],
)
def test_reductions_of_several_programs(channels, block, programs, order, kernel_device, poisoned, monkeypatch):
    """Programs of several blocks, or one block each; the last block is not full, and the last program has fewer."""
    monkeypatch.setattr(kernels, "FITTING", 0)
    monkeypatch.setattr(kernels, "BLOCK", block)
    monkeypatch.setattr(channel_statistics, "PROGRAMS", programs)
    x = random(2, channels, 11, 7, dtype=torch.float32).to(kernel_device)
    x += torch.linspace(-4, 4, 11, device=kernel_device)[:, None]  # what the programs see differs
    check(x.contiguous(memory_format=ORDERS[order]), "triton")


@pytest.mark.triton
def test_larger_planes_take_two_passes(kernel_device, poisoned, monkeypatch):
    monkeypatch.setattr(kernels, "plane_kernel", None)
    check(random(1, 2, 65, 64, dtype=torch.float32).to(kernel_device), "triton")


@pytest.mark.triton
def test_kernels_keep_small_variations_of_a_large_mean(passes, kernel_device):
    check_large_mean("triton", kernel_device)


@pytest.mark.triton
@pytest.mark.parametrize("wanted", [1, 3])
def test_kernels_give_the_gradient_of_one_input(wanted, passes, kernel_device, poisoned):
    x = random(2, 3, 5, 4, dtype=torch.float32).to(kernel_device)
    check_one_gradient(wanted, False, x, "triton")


@pytest.mark.triton
def test_kernel_gradients_of_any_order(kernel_device):
    x = random(2, 3, 3, 4, dtype=torch.float32).to(kernel_device).requires_grad_()
    inputs = [x, *others(x)]
    g = random(2, 3, 3, 4, seed=1, dtype=torch.float32).to(kernel_device).requires_grad_()
    check_second_gradients(
        lambda *inputs: call(inputs, blur=True, impl="triton"), lambda *inputs: formula(inputs, blur=True), inputs, g
    )


@pytest.mark.triton
def test_operators_of_the_kernels_are_registered_rightly(kernel_device):
    x = random(2, 3, 3, 4, dtype=torch.float32).to(kernel_device).contiguous(memory_format=torch.channels_last)
    check_operators(x, 1, "triton")


@pytest.mark.triton
def test_kernels_make_only_the_sums_that_are_wanted(passes, kernel_device):
    check_wanted_sums(random(2, 3, 5, 4, dtype=torch.float32).to(kernel_device), "triton")


@pytest.mark.triton
def test_float64_runs_in_torch(kernel_device):
    check(random(2, 3, 5, 4).to(kernel_device), "triton")


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("shape", [(2, 64, 200, 300), (4, 512, 16, 16)])
def test_the_same_call_gives_the_same_bits(shape):
    x = torch.randn(shape, device="cuda").requires_grad_()
    inputs = [x, *others(x)]
    check_same_bits(lambda *inputs: call(inputs, blur=True), inputs)
