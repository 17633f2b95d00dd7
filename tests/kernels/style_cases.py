"""Cases of `style_epilogue`, and how both implementations are compared with the formula."""

import torch
from torch.nn import functional

from fastsr_kernels.memory import memory_order
from fastsr_kernels.style import style_epilogue
from tests.kernels.checks import LARGE_MEAN, close, exact, random

CASES = {  # channels, height, width
    "odd sides": (5, 9, 7),
    "one channel": (1, 6, 4),
    "a line": (3, 1, 8),
    "a column": (2, 7, 1),
}
NOISES = {"no noise": 0, "the same noise": 1, "noises": 2}


def others(x, noises=2, narrow=False):
    """Bias, style, and noises with their weights; float32, or `narrow`: of the dtype of x."""
    pictures, channels, height, width = x.shape
    dtype = x.dtype if narrow else torch.promote_types(x.dtype, torch.float32)
    shapes = [(channels,), (pictures, 2, channels)]
    if noises:
        shapes += [(pictures if noises == 2 else 1, 1, height, width), (channels,)]
    return [random(*shape, seed=3 + i, dtype=dtype).to(x.device).requires_grad_() for i, shape in enumerate(shapes)]


def call(inputs, **arguments):
    x, bias, style, *noises = inputs
    noise, weight = noises or (None, None)
    return style_epilogue(x, noise, weight, bias, style, **arguments)


def formula(inputs, blur=False, slope=0.2, eps=1e-5):
    x, bias, style, *noises = inputs
    channels = x.shape[1]
    if blur:
        taps = torch.tensor([1, 2, 1], dtype=x.dtype) / 4
        x = functional.conv2d(x, taps.outer(taps).expand(channels, 1, 3, 3), padding=1, groups=channels)
    p = x + bias.view(-1, 1, 1)
    if noises:
        p = p + noises[0] * noises[1].view(-1, 1, 1)
    normal = functional.instance_norm(functional.leaky_relu(p, slope), eps=eps)
    return normal * (style[:, 0, :, None, None] + 1) + style[:, 1, :, None, None]


def expectation(inputs, g, **arguments):
    """Output and gradients of the formula in float64."""
    inputs = exact(inputs)
    y = formula(inputs, **arguments)
    return y.detach(), *torch.autograd.grad(y, inputs, g.double().cpu())


def check(x, impl=None, arrange=lambda g: g, roundings=32, noises=2, narrow=False, **arguments):
    """Compare output and gradients with the formula; nothing that comes in may change."""
    inputs = [x.requires_grad_(), *others(x, noises, narrow)]
    y = call(inputs, impl=impl, **arguments)
    g = arrange(random(*y.shape, seed=1, dtype=x.dtype).to(x.device))
    before = [tensor.detach().clone() for tensor in (*inputs, g)]
    found = torch.autograd.grad(y, inputs, g)
    expected = expectation(inputs, g, **arguments)
    # What the gradients for bias, noise and its weight add up cancels: its errors are those of what is summed.
    summed = max(1.0, expected[1].abs().sum().item())
    for i, (actual, right) in enumerate(zip((y, *found), expected, strict=True)):
        close(actual, right, x.dtype, roundings, scale=summed if i in (2, 4, 5) else 1.0)
    assert y.dtype == x.dtype
    assert [gradient.dtype for gradient in found] == [tensor.dtype for tensor in inputs]
    assert [gradient.shape for gradient in found] == [tensor.shape for tensor in inputs]
    for tensor in (y, found[0]):
        assert tensor.is_contiguous(memory_format=memory_order(x))
    for tensor, copy in zip((*inputs, g), before, strict=True):
        assert torch.equal(tensor, copy)


def check_one_gradient(wanted, create_graph, x, impl):
    inputs = [x, *(tensor.detach() for tensor in others(x))]
    inputs[wanted].requires_grad_()
    y = call(inputs, impl=impl)
    g = random(*y.shape, seed=1, dtype=x.dtype).to(x.device)
    (found,) = torch.autograd.grad(y, inputs[wanted], g, create_graph=create_graph)
    close(found, expectation(inputs, g)[1 + wanted], x.dtype, scale=10)


def check_wanted_sums(x, impl):
    tensors = [x, *(tensor.detach() for tensor in others(x, noises=1))]
    _, *statistics = torch.ops.fastsr.style_epilogue(*tensors, False, 0.2, 1e-5, impl)
    g = random(*x.shape, seed=1, dtype=x.dtype).to(x.device)
    for sums in (False, True):
        for noise in (False, True):
            arguments = g, *tensors, *statistics, False, 0.2, sums, noise, impl
            _, dbias, _, dnoise, dweight = torch.ops.fastsr.style_epilogue_backward(*arguments)
            assert (dbias.shape, dweight.shape) == ((3,), (3,)) if sums else ((0,), (0,))
            assert dnoise.shape == ((1, 1, 5, 4) if noise else (0,))


def check_operators(x, noises, impl):
    tensors = [x, *(tensor.detach() for tensor in others(x, noises))]
    tensors += [None] * (5 - len(tensors))
    torch.library.opcheck(torch.ops.fastsr.style_epilogue.default, (*tensors, True, 0.2, 1e-5, impl))
    _, *statistics = torch.ops.fastsr.style_epilogue(*tensors, True, 0.2, 1e-5, impl)
    g = random(*x.shape, seed=1, dtype=x.dtype).to(x.device)
    arguments = g, *tensors, *statistics, True, 0.2, True, bool(noises), impl
    torch.library.opcheck(torch.ops.fastsr.style_epilogue_backward.default, arguments)


def check_large_mean(impl, device):
    x = 1000 + random(1, 3, 20, 30, dtype=torch.float32).to(device)
    check(x, impl, roundings=LARGE_MEAN)
