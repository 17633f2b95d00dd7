"""Cases of `reflect_conv2d`, and how every implementation is compared with the definition."""

import math

import torch
from torch.nn import functional

from fastsr_kernels.reflect_conv import reflect_conv2d
from tests.kernels.checks import exact, random

CASES = {  # N, C, H, W, O, kh, kw
    "3x3": (2, 3, 7, 9, 5, 3, 3),
    "1x1": (1, 4, 6, 5, 3, 1, 1),
    "2x2": (1, 2, 5, 4, 3, 2, 2),
    "4x6": (1, 2, 7, 6, 3, 4, 6),
    "5x2": (1, 4, 8, 6, 3, 5, 2),
    "1x7": (1, 3, 2, 8, 2, 1, 7),
    "9x9 of the smallest": (1, 3, 5, 5, 4, 9, 9),
    "3x3 of the smallest": (2, 3, 2, 2, 4, 3, 3),
    "one pixel": (2, 3, 1, 1, 2, 1, 1),
    "several tiles": (1, 4, 9, 11, 3, 3, 3),
}
PADS = {  # kernel, pad
    "the border is there": ((3, 3), (0, 0)),
    "rows alone": ((3, 3), (1, 0)),
    "more than half the kernel": ((3, 4), (2, 3)),
    "less than half the kernel": ((4, 5), (1, 1)),
}
X, W, B = torch.zeros(2, 3, 4, 5), torch.zeros(6, 3, 3, 3), torch.zeros(6)


def tensors(case, dtype=torch.float64, device="cpu"):
    """x, w and b, with gradients; w scaled so that the output is about as large as x."""
    n, c, h, w, o, kh, kw = case
    values = random(n, c, h, w, dtype=dtype), random(o, c, kh, kw, seed=1) / math.sqrt(c * kh * kw), random(o, seed=2)
    return [value.to(device, dtype).requires_grad_() for value in values]


def definition(x, w, b=None, stride=1, pad=None):
    rows, columns = pad or (w.shape[2] // 2, w.shape[3] // 2)
    return functional.conv2d(functional.pad(x, (columns, columns, rows, rows), mode="reflect"), w, b, stride)


def check(y, expected, dtype, scale=1.0):
    """`scale`: how large the terms of the longest sum are together, where that is much more than 1."""
    eps = {torch.float64: 1e-14, torch.float32: 1e-6}.get(dtype, torch.finfo(dtype).eps)
    y, expected = y.detach().double().cpu(), expected.detach()
    torch.testing.assert_close(y, expected, rtol=2 * eps, atol=4 * eps * scale)


def check_gradients(case, stride, dtype, device, impl, second_order=True, pad=None):
    """The output, all gradients, and their gradients, against those of the definition in float64."""
    x, w, b = values = tensors(case, dtype, device)
    y = reflect_conv2d(x, w, b, stride, impl, pad)
    expected_values = exact(values)
    expected = definition(*expected_values, stride, pad)
    assert y.dtype == dtype
    assert y.is_contiguous(memory_format=torch.channels_last)
    check(y, expected, dtype, 4)

    g = random(*expected.shape, seed=3, dtype=dtype).to(device).requires_grad_()
    (g64,) = exact([g])
    first = torch.autograd.grad(y, values, g, create_graph=True)
    expected_first = torch.autograd.grad(expected, expected_values, g64, create_graph=True)
    terms = 4 * math.sqrt(g.numel() / g.shape[1])
    for value, right, scale in zip(first, expected_first, (8, terms, terms), strict=True):
        assert value.dtype == dtype
        check(value, right, dtype, scale)

    for index in (0, 1) if second_order else ():
        v = random(*first[index].shape, seed=4, dtype=dtype).to(device)
        others = (w, g) if index == 0 else (x, g)
        others64 = (expected_values[1 - index], g64)
        second = torch.autograd.grad(first[index], others, v, retain_graph=True)
        expected_second = torch.autograd.grad(expected_first[index], others64, v.double().cpu(), retain_graph=True)
        for value, right in zip(second, expected_second, strict=True):
            check(value, right, dtype, 4 * math.sqrt(max(v[0].numel(), terms**2)))


def check_layout(layout, case, dtype, device, impl):
    x, w, b = (value.detach() for value in tensors(case, dtype))
    g = random(*definition(x, w).shape, seed=3, dtype=dtype)
    x, w, g = (layout(value.to(device)) for value in (x, w, g))
    b = b.repeat_interleave(2).to(device)[::2]
    before = [value.clone() for value in (x, w, g)]
    values = [value.requires_grad_() for value in (x, w, b)]
    y = reflect_conv2d(*values, impl=impl)
    gradients = torch.autograd.grad(y, values, g)
    expected_values = exact(values)
    expected = definition(*expected_values)
    check(y, expected, dtype, 4)
    expected_gradients = torch.autograd.grad(expected, expected_values, g.double().cpu())
    for value, right in zip(gradients, expected_gradients, strict=True):
        check(value, right, dtype, 64)
    assert all(torch.equal(value, old) for value, old in zip((x, w, g), before, strict=True))


def check_operators(case, stride, dtype, device, impl):
    x, w, b = (value.detach() for value in tensors(case, dtype, device))
    g = torch.randn_like(reflect_conv2d(x, w, None, stride))
    operators = torch.ops.fastsr
    pad = w.shape[2] // 2, w.shape[3] // 2
    for bias in (b, None):
        torch.library.opcheck(operators.reflect_conv2d.default, (x, w, bias, stride, *pad, impl))
    torch.library.opcheck(operators.reflect_conv2d_dgrad.default, (g, w, *x.shape[2:], stride, *pad, impl))
    torch.library.opcheck(operators.reflect_conv2d_wgrad.default, (x, g, *w.shape[2:], stride, *pad, impl))


def check_nothing(empty, device, impl):
    n, c, o = (0 if name == empty else 2 for name in ("batch", "inputs", "outputs"))
    shapes = (n, c, 4, 5), (o, c, 3, 3), (o,)
    values = [torch.ones(shape, device=device, requires_grad=True) for shape in shapes]
    y = reflect_conv2d(*values, impl=impl)
    assert y.shape == (n, o, 4, 5)
    assert y.eq(1).all()  # the bias
    x, w, b = torch.autograd.grad(y.sum(), values)
    assert (x.shape, w.shape) == shapes[:2]
    assert not x.any()
    assert not w.any()
    assert b.eq(n * 4 * 5).all()
