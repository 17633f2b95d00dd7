"""What runs on a CPU where there are few elements: torch's own functions, with the same results."""

import pytest
import torch

from fastsr_kernels import backend, group_norm, norm_act_pad, reflect_conv, upsample_norm_pad

WEIGHT, BIAS = torch.linspace(0.5, 1.5, 6), torch.linspace(-1, 1, 6)


def conv(x, weight, bias):
    return reflect_conv.reflect_conv2d(x, torch.ones(4, 6, 3, 5).to(x.dtype) * weight.to(x.dtype)[:, None, None])


def norm(x, weight, bias):
    return norm_act_pad.norm_act_pad(x, weight, bias, 0.2, 2)


def meet(x, weight, bias):
    return upsample_norm_pad.upsample_norm_pad(x[:, :2].repeat(1, 1, 2, 2), x[:, 2:], weight, bias, 1)


def group(x, weight, bias):
    return group_norm.group_norm(x.contiguous(memory_format=torch.channels_last), 3, weight, bias, swish=False)


OPS = {"reflect_conv2d": conv, "norm_act_pad": norm, "upsample_norm_pad": meet, "group_norm": group}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_results_are_those_of_the_op(op, dtype, monkeypatch):
    x = torch.randn(2, 6, 7, 5, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    weight, bias = WEIGHT.clone().requires_grad_(), BIAS.clone()

    def run(few):
        monkeypatch.setattr(backend, "FEW", few)
        y = op(x, weight, bias)
        g = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
        return y, *torch.autograd.grad(y, (x, weight), g)

    expected, found = run(0), run(2**18)
    assert type(expected[0].grad_fn) is not type(found[0].grad_fn)
    tolerance = 1e-5 if dtype == torch.float32 else 4e-2
    for value, right in zip(found, expected, strict=True):
        assert value.dtype == right.dtype
        torch.testing.assert_close(value, right, rtol=tolerance, atol=tolerance * float(right.detach().abs().max()))
    assert found[0].is_contiguous(memory_format=torch.channels_last)
    assert found[0].stride() == expected[0].stride()


@pytest.mark.parametrize("op", [norm, meet, group])
def test_autocast_does_not_reach_the_norms(op, monkeypatch):
    monkeypatch.setattr(backend, "FEW", 2**18)
    x = torch.randn(2, 6, 7, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(op(x, WEIGHT, BIAS), op(x, WEIGHT, BIAS).float())
        assert op(x, WEIGHT, BIAS).dtype == torch.float32


def test_more_elements_are_not_few():
    assert backend.better_plain(torch.empty(backend.FEW + 1), "torch") is False
    assert backend.better_plain(torch.empty(1, device="meta"), "torch") is False
    assert backend.better_plain(torch.empty(1), "triton") is False
