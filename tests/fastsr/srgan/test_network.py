"""The generator: its size, its variants, and batch norms folded into convolutions."""

import pytest
import torch
from torch import nn

from fastsr.nn import ReflectConv2d
from fastsr.srgan.fast import before_shuffle, for_inference
from fastsr.srgan.network import SRResNet, SRResNetConfig, fold_batch_norm

SMALL = {"blocks": 2, "width": 8}


def trained(**config):
    """A small network whose norms and slopes are not those of the beginning."""
    torch.manual_seed(0)
    network = SRResNet(SRResNetConfig(**{**SMALL, **config})).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias):
                tensor.normal_(0, 0.3)
            for tensor in (module.running_var, module.weight):
                tensor.uniform_(0.5, 2)
        if isinstance(module, nn.PReLU):
            module.weight.fill_(torch.rand(()) - 0.3)
    return network


@pytest.mark.parametrize(("scale", "count"), [(2, 1_401_749), (4, 1_549_462), (8, 1_697_175)])
def test_the_paper_has_as_many_parameters(scale, count):
    with torch.device("meta"):
        network = SRResNet(SRResNetConfig(scale=scale))
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@pytest.mark.parametrize("channels", [1, 3])
def test_results_are_larger_by_the_scale(scale, padding, channels):
    network = trained(scale=scale, padding=padding, channels=channels)
    assert network(torch.rand(2, channels, 6, 9)).shape == (2, channels, 6 * scale, 9 * scale)


def test_reflection_is_that_of_torch():
    network = trained(padding="reflect")
    plain = trained(padding="reflect")
    for parent in list(plain.modules()):
        for name, child in parent.named_children():
            if isinstance(child, ReflectConv2d):
                conv = nn.Conv2d(
                    child.in_channels,
                    child.out_channels,
                    child.kernel_size,
                    padding=child.kernel_size[0] // 2,
                    padding_mode="reflect",
                )
                conv.load_state_dict(child.state_dict())
                setattr(parent, name, conv)
    x = torch.rand(1, 3, 8, 9)
    with torch.no_grad():
        assert (network(x) - plain(x)).abs().max() < 1e-5


def test_reflection_needs_pixels_to_reflect():
    network = trained(padding="reflect")
    network(torch.rand(1, 3, network.least_side, network.least_side))
    with pytest.raises(ValueError, match="x must be more than 4 pixels high"):
        network(torch.rand(1, 3, network.least_side - 1, 9))


@pytest.mark.parametrize("final", ["linear", "tanh"])
def test_the_end_is_as_configured(final):
    result = trained(final=final)(20 * torch.rand(1, 3, 8, 8))
    assert (result.abs().max() > 1) == (final == "linear")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"scale": 3}, "scale=3 is not one of 2, 4, 8"),
        ({"padding": "mirror"}, "padding='mirror' is not one of"),
        ({"fusion": "none"}, "fusion='none'"),
        ({"final": "sigmoid"}, "final='sigmoid'"),
        ({"blocks": 0}, "blocks=0 is not a whole number of at least 1"),
        ({"kernels": (9, 4, 9)}, r"kernels=\(9, 4, 9\) are not three odd numbers"),
    ],
)
def test_wrong_shapes_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        SRResNetConfig(**config)


@pytest.mark.parametrize("config", [{}, {"padding": "reflect"}, {"fusion": "prelu", "final": "tanh"}])
@pytest.mark.parametrize("fold", [fold_batch_norm, for_inference])
def test_a_folded_network_is_the_same(config, fold):
    network = trained(**config)
    folded = fold(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    x = torch.rand(2, 3, 9, 11)
    with torch.no_grad():
        before = network(x)
        assert (folded(x) - before).abs().max() < 1e-5
        assert torch.equal(network(x), before)  # the network itself is as it was


def test_a_network_for_inference_leaves_its_input_alone():
    x = torch.rand(1, 3, 9, 11)
    before = x.clone()
    for_inference(trained())(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7, 9])
def test_a_convolution_before_the_shuffle_is_the_one_after_it(kernel):
    after = nn.Conv2d(3, 2, kernel, padding=kernel // 2)
    before, shuffle, x = before_shuffle(after), nn.PixelShuffle(2), torch.rand(1, 12, 6, 7)
    with torch.no_grad():
        assert (shuffle(before(x)) - after(shuffle(x))).abs().max() < 1e-6


@pytest.mark.parametrize("config", [{}, {"scale": 2}, {"scale": 8}, {"kernels": (3, 5, 7)}, {"padding": "reflect"}])
def test_the_reach_is_where_a_change_ends(config):
    network = trained(**config)
    x = torch.rand(1, 3, 70, 7, dtype=torch.float64)
    network = network.double()
    changed = x.clone()
    changed[:, :, 35] += 1
    with torch.no_grad():
        features = (network.features(changed) - network.features(x)).abs().amax((0, 1, 3))
        reached = (network(changed) - network(x)).abs().amax((0, 1, 3)).nonzero() // network.scale - 35
    rows = features.nonzero() - 35
    assert (-rows.min(), rows.max()) == (network.features_reach, network.features_reach)
    reach = network.features_reach + network.picture_reach
    assert reach - 1 <= reached.max() <= reach
    assert reach - 1 <= -reached.min() <= reach
