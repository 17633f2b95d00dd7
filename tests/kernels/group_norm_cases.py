"""Cases of `group_norm`, and how both implementations are compared with the definition."""

import torch
from torch.nn import functional

from fastsr_kernels.group_norm import group_norm
from fastsr_kernels.memory import memory_order
from tests.kernels.checks import close, exact, random

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
    inputs = exact(inputs)
    y = definition(inputs, groups, **arguments)
    return y.detach(), *torch.autograd.grad(y, inputs, g.double().cpu())


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
        assert tensor.is_contiguous(memory_format=memory_order(x))
    for tensor, copy in zip((*inputs, g), before, strict=True):
        assert torch.equal(tensor, copy)


def check_strided_parameters(impl, device, order):
    x = random(2, 4, 5, 4, dtype=torch.float32).to(device).contiguous(memory_format=order).requires_grad_()
    weight, bias = random(4, 2, seed=1, dtype=torch.float32).to(device).T
    shift = random(4, 2, seed=2, dtype=torch.float32).to(device).T
    y = group_norm(x, 2, weight, bias, shift=shift, impl=impl)
    assert torch.equal(y, group_norm(x, 2, weight.clone(), bias.clone(), shift=shift.contiguous(), impl=impl))


def check_operators(x, shifted, swish, impl):
    vectors = [parameter.detach() for parameter in parameters(x, shifted)]
    vectors += [None] * (3 - len(vectors))
    operators = torch.ops.fastsr
    torch.library.opcheck(operators.group_norm.default, (x, *vectors, 2, 1e-5, swish, impl))
    _, *statistics = operators.group_norm(x, *vectors, 2, 1e-5, swish, impl)
    g = random(*x.shape, seed=1, dtype=x.dtype).to(x.device)
    torch.library.opcheck(operators.group_norm_backward.default, (g, x, *vectors, *statistics, 2, swish, impl))
