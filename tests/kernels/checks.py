"""What the tests of several ops check in the same way."""

import pytest
import torch

from fastsr_kernels import backend

ORDERS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
LARGE_MEAN = 16_000
"""Roundings by eps, relative to deviations about 1, where the mean is 1000: 16 of its own."""

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
half_precision = pytest.mark.parametrize(
    "dtype",
    [
        torch.float16,
        pytest.param(
            torch.bfloat16,
            marks=pytest.mark.skipif(
                backend.interpreted(), reason="bfloat16 arithmetic is wrong in Triton's interpreter"
            ),
        ),
    ],
)


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def need_gpu_memory(count):
    """Skip the test where so many bytes are not free."""
    if torch.cuda.mem_get_info()[0] < count:
        pytest.skip(f"needs {count / 2**30:.0f} GiB of GPU memory")


def exact(tensors):
    """The same numbers in float64 on the CPU, to be differentiated."""
    return [x.detach().double().cpu().contiguous().requires_grad_() for x in tensors]


def close(actual, expected, dtype, roundings=32, scale=1.0):
    """Equal up to so many eps of the dtype, relative to the largest number."""
    if dtype in (torch.float16, torch.bfloat16):
        roundings = 4
    atol = roundings * torch.finfo(dtype).eps * max(scale, expected.abs().max().item())
    torch.testing.assert_close(actual.detach().double().cpu(), expected, rtol=0, atol=atol)


def check_rounded_once(found, expected, error):
    """What was computed in float32 to an absolute `error` is rounded to its dtype once."""
    for actual, right in zip(found, expected, strict=True):
        rounding = torch.finfo(actual.dtype).eps / 2 * right.abs()
        assert ((actual.detach().double().cpu() - right).abs() <= rounding + error).all()


def check_autocast(run):
    """`run` gives the same tensors, bit by bit, under autocast."""
    expected = run()
    with torch.autocast("cpu", torch.bfloat16):
        found = run()
    for actual, wanted in zip(found, expected, strict=True):
        assert actual.dtype == wanted.dtype
        assert torch.equal(actual, wanted)


def check_compiled(compile_and_trace, function, inputs, operators):
    """`function` compiles without a break: its graph has the first of `operators` once, the gradient's the second."""
    compiled, graphs = compile_and_trace(function)
    torch.testing.assert_close(compiled(*inputs), function(*inputs))
    torch.testing.assert_close(
        torch.autograd.grad(compiled(*inputs), inputs), torch.autograd.grad(function(*inputs), inputs)
    )
    assert [graph.count(operator) for graph, operator in zip(graphs, operators, strict=True)] == [1, 1]


def check_second_gradients(function, definition, inputs, g):
    """The gradients of all gradients are those of the definition in float64."""

    def second(function, inputs, g):
        first = torch.autograd.grad(function(*inputs), inputs, g, create_graph=True)
        return torch.autograd.grad(sum((gradient**2).sum() for gradient in first), (*inputs, g))

    *inputs64, g64 = exact((*inputs, g))
    found = second(function, inputs, g)
    for actual, expected in zip(found, second(definition, inputs64, g64), strict=True):
        close(actual, expected, torch.float32)


def check_same_bits(function, inputs):
    """Repeated, a call and its gradients give the same bits."""
    y = function(*inputs)
    g = torch.randn_like(y)
    first = torch.autograd.grad(y, inputs, g, retain_graph=True)
    for _ in range(3):
        assert torch.equal(function(*inputs), y)
        again = torch.autograd.grad(y, inputs, g, retain_graph=True)
        assert all(torch.equal(a, b) for a, b in zip(again, first, strict=True))
