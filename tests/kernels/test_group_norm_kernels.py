"""The kernels of `group_norm`: in the interpreter, or on a GPU."""

import pytest
import torch

from fastsr_kernels import channel_statistics, tiles
from fastsr_kernels import group_norm_kernels as kernels
from fastsr_kernels.memory import rows
from tests.kernels.checks import (
    LARGE_MEAN,
    ORDERS,
    check_rounded_once,
    check_same_bits,
    check_second_gradients,
    close,
    half_precision,
    on_gpu,
    random,
)
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

FITTING = {"one pass": 8192, "two passes": 0}


@pytest.fixture(params=FITTING.values(), ids=FITTING)
def passes(request, monkeypatch):
    """Whether a program takes a whole group, as it does with so few numbers, or some of its pixels."""
    monkeypatch.setattr(kernels, "FITTING", request.param)


@pytest.mark.triton
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
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
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
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
    assert rows(x, torch.empty_like(x)).data_ptr() == x.data_ptr()
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
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_kernels_take_strided_parameters(order, passes, kernel_device):
    check_strided_parameters("triton", kernel_device, order)


@pytest.mark.triton
def test_kernels_use_eps(passes, kernel_device):
    check(random(2, 4, 5, 4, dtype=torch.float32).to(kernel_device), 2, "triton", eps=0.5)


@pytest.mark.triton
@half_precision
def test_kernels_round_once(dtype, passes, kernel_device, poisoned):
    x = random(2, 12, 9, 8, dtype=dtype).to(kernel_device).contiguous(memory_format=torch.channels_last)
    inputs = [x.requires_grad_(), *parameters(x)]
    y = call(inputs, 4, impl="triton")
    g = random(*y.shape, seed=1, dtype=dtype).to(kernel_device)
    found = y, *torch.autograd.grad(y, inputs, g)
    check_rounded_once(found, expectation(inputs, g, 4), 4e-5)


@pytest.mark.triton
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
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
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_kernels_keep_small_variations_of_a_large_mean(order, passes, kernel_device):
    x = 1000 + random(1, 4, 20, 30, dtype=torch.float32).to(kernel_device).contiguous(memory_format=order)
    check(x, 2, "triton", roundings=LARGE_MEAN)


@pytest.mark.triton
def test_kernel_gradients_of_any_order(kernel_device):
    x = random(2, 4, 3, 4, dtype=torch.float32).to(kernel_device).requires_grad_()
    inputs = [x, *parameters(x)]
    g = random(2, 4, 3, 4, seed=1, dtype=torch.float32).to(kernel_device).requires_grad_()
    check_second_gradients(
        lambda *inputs: call(inputs, 2, impl="triton"), lambda *inputs: definition(inputs, 2), inputs, g
    )


@pytest.mark.triton
@pytest.mark.parametrize(("order", "shifted"), [(torch.contiguous_format, True), (torch.channels_last, False)])
def test_operators_of_the_kernels_are_registered_rightly(order, shifted, kernel_device):
    x = random(2, 6, 6, 5, dtype=torch.float32).to(kernel_device).contiguous(memory_format=order)
    check_operators(x, shifted, True, "triton")


@pytest.mark.triton
def test_float64_runs_in_torch(kernel_device):
    check(random(2, 4, 5, 4).to(kernel_device), 2, "triton")


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("shape", [(2, 64, 200, 300), (4, 512, 16, 16)])
def test_the_same_call_gives_the_same_bits(shape):
    x = torch.randn(shape, device="cuda").contiguous(memory_format=torch.channels_last).requires_grad_()
    inputs = [x, *parameters(x)]
    check_same_bits(lambda *inputs: call(inputs, 32), inputs)


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_torch_takes_parameters_of_float32_on_a_gpu(dtype, kernel_device):
    check(random(2, 12, 7, 5, dtype=dtype).to(kernel_device), 4, "torch")
