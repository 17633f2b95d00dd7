"""The hourglass against a second, flat definition of the paper's network."""

import pytest
import torch
from torch.nn import functional as F

from fastsr.dip.network import Hourglass, HourglassConfig, reflect_to


def test_paper_network_has_its_parameters():
    # Five scales: 1x1 skip of 4, two 3x3 down, one 3x3 and one 1x1 up, all with bias and batch norm; 1x1 head.
    expected, below, biases = 0, 128, 0
    for scale in range(5):
        inputs = 32 if scale == 0 else 128
        for cin, cout, k in [(inputs, 4, 1), (inputs, 128, 3), (128, 128, 3), (4 + below, 128, 3), (128, 128, 1)]:
            expected += cout * cin * k * k + cout + 2 * cout
            biases += cout  # without effect before a norm, and left out
        expected += 2 * (4 + below)
    expected += 128 * 3 + 3
    assert expected == 2217831
    assert sum(p.numel() for p in Hourglass(HourglassConfig()).parameters()) == expected - biases


def flat_forward(net: Hourglass, x: torch.Tensor) -> torch.Tensor:
    """The network as the paper's supplement draws it, without modules: down to the last scale, then up."""

    def conv(x, layer, stride=1):
        pad = layer.weight.shape[-1] // 2
        bias = net.shift if layer is net.head else torch.randn(len(layer.weight), dtype=x.dtype)
        return F.conv2d(F.pad(x, (pad,) * 4, mode="reflect"), layer.weight, bias, stride)

    def norm(x, layer):
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, unbiased=False)
        return (x - mean) / (var + 1e-5).sqrt() * layer.weight[:, None, None] + layer.bias[:, None, None]

    def block(x, layer, stride=1):
        x = norm(conv(x, layer.conv, stride), layer.norm)
        return torch.where(x > 0, x, 0.2 * x)

    skips, scales, scale = [], [], net.body
    while scale is not None:
        scales.append(scale)
        skips.append([] if scale.skip is None else [block(x, scale.skip)])
        x = block(block(x, scale.down[0], 2), scale.down[1])
        scale = scale.deeper
    for scale, skip in zip(reversed(scales), reversed(skips), strict=True):
        x = F.interpolate(x, scale_factor=2, mode=net.config.upsampling)
        x = block(norm(torch.cat([*skip, x], 1), scale.norm), scale.up[0])
        if net.config.mix:
            x = block(x, scale.up[1])
    return 1 / (1 + torch.exp(-conv(x, net.head)))


def network(**config) -> Hourglass:
    """A small network in float64, with values by which a swapped or skipped bias or scale shows."""
    torch.manual_seed(0)
    config = {"channels": (6, 8, 10), "skip_channels": 3, "input_channels": 5, **config}
    net = Hourglass(HourglassConfig(**config)).double()
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return net


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"upsampling": "nearest"},
        {"skip_channels": 0},
        {"skip_channels": 0, "upsampling": "nearest", "down_kernel": 5, "mix": False},
        {"down_kernel": 5},
    ],
    ids=str,
)
def test_network_and_gradients_are_the_papers(config):
    net = network(**config)
    z = torch.randn(1, 5, 24, 32, dtype=torch.float64, requires_grad=True)
    ours, expected = net(z), flat_forward(net, z)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)
    inputs = [z, *net.parameters()]
    g = torch.randn_like(expected)
    for gradient, wanted in zip(
        torch.autograd.grad(ours, inputs, g), torch.autograd.grad(expected, inputs, g), strict=True
    ):
        torch.testing.assert_close(gradient, wanted, rtol=1e-7, atol=1e-9)


def test_activations_may_be_bfloat16_beside_float32_norms():
    net = network().float()
    z = torch.rand(1, 5, 24, 32)
    weights = {name: p.bfloat16() if p.ndim == 4 else p for name, p in net.named_parameters()}
    out = torch.func.functional_call(net, weights, z.bfloat16())
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, net(z), rtol=0, atol=0.1)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(2, 2), (5, 123), (33, 64), (96, 31)])
def test_any_size_comes_out_as_it_went_in(size, kernel):
    net = Hourglass(HourglassConfig(channels=(4,) * 5, input_channels=3, output_channels=1, down_kernel=kernel))
    out = net(torch.rand(1, 3, *size))
    assert out.shape == (1, 1, *size)
    assert ((out > 0) & (out < 1)).all()


def test_padded_size_is_the_smallest_that_every_scale_takes():
    config = HourglassConfig()
    assert [config.padded(side) for side in (1, 63, 64, 65, 96, 500)] == [64, 64, 64, 96, 96, 512]
    assert HourglassConfig(down_kernel=5).padded(1) == 96  # a border of two pixels needs three


def test_reflect_to_goes_back_and_forth():
    x = torch.arange(3.0).view(1, 1, 1, 3)
    assert reflect_to(x, -1, 9).flatten().tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0]
    assert reflect_to(x, -1, 3) is x
