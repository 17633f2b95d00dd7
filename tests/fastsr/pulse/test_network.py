"""StyleGAN: its layers against what they stand for, its shape, and the forms that it can take."""

import pytest
import torch
from torch.nn import functional as F

from fastsr.pulse.generator import check_generator
from fastsr.pulse.layers import EqualisedConv2d, EqualisedLinear, EqualisedUpConv2d
from fastsr.pulse.network import Architecture, StyleGAN
from fastsr.pulse.noises import draw_noises, zero_noises


def given(network, count=2, dtype=torch.float32):
    """Return latents and noises."""
    random = torch.Generator().manual_seed(5)
    latents = torch.randn(count, network.layers, network.latent, generator=random)
    return latents.to(dtype), [noise.to(dtype) for noise in draw_noises(network.noise_sides, count, random)]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (EqualisedLinear(300, 200, gain=1.0), (64, 300)),
        (EqualisedLinear(300, 200, gain=1.0, multiplier=0.01), (64, 300)),
        (EqualisedConv2d(60, 50, gain=1.0), (2, 60, 16, 16)),
        (EqualisedUpConv2d(60, 50, gain=1.0), (2, 60, 16, 16)),
    ],
    ids=["linear", "multiplier", "convolution", "enlarging"],
)
def test_layers_keep_the_deviation_and_have_an_ordinary_form(layer, shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = layer(x)
    centre = result[..., 2:-2, 2:-2] if x.ndim == 4 else result
    assert 0.9 < centre.std() < 1.1
    if isinstance(layer, EqualisedLinear):
        torch.nn.init.ones_(layer.bias)
    plain = layer.plain()
    assert type(plain).__module__.startswith("torch.nn")
    torch.testing.assert_close(plain(x), layer(x), rtol=0, atol=1e-5)


def test_enlarging_and_convolving_are_one_transposed_convolution():
    layer = EqualisedUpConv2d(3, 2).double()
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    slow = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), layer.weight * layer.scale, padding=1)
    torch.testing.assert_close(layer(x), slow, rtol=0, atol=1e-13)


def test_a_multiplier_divides_the_change_of_a_step():
    """Adam makes steps of one length: with a multiplier of 0.01 the layer changes a hundred times less."""
    x, changes = torch.ones(1, 50), []
    for multiplier in (1.0, 0.01):
        layer = EqualisedLinear(50, 40, multiplier=multiplier)
        before = layer(x).detach()
        optimizer = torch.optim.Adam(layer.parameters(), 1e-3)
        layer(x).sum().backward()
        optimizer.step()
        changes.append((layer(x) - before).abs().mean().item())
    assert changes[1] == pytest.approx(changes[0] / 100, rel=1e-2)


def test_the_shape_follows_from_the_resolution():
    published = Architecture()
    assert published.channels == (512, 512, 512, 512, 256, 128, 64, 32, 16)
    assert published.noise_sides == tuple(2 ** (index // 2 + 2) for index in range(18))
    small = Architecture(64, 96, 4, fmap_base=1024, fmap_max=100)
    assert small.channels == (100, 100, 100, 64, 32)
    assert len(small.noise_sides) == 10
    assert Architecture(16, feature_maps=(3, 2, 1)).channels == (3, 2, 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"resolution": 48}, "resolution=48 is not 8, 16, 32"),
        ({"resolution": 2048}, "resolution=2048 is not"),
        ({"resolution": "64"}, "resolution='64' is not"),
        ({"latent": 0}, "latent=0 is not a whole number of at least 1"),
        ({"mapping_layers": 1.5}, "mapping_layers=1.5 is not a whole number"),
        ({"resolution": 16, "feature_maps": (4, 4)}, r"feature_maps=\(4, 4\) are not one number for each side"),
        ({"resolution": 16, "feature_maps": (4, 4, 0)}, "sides without channels"),
        ({"fmap_base": 100}, "sides without channels"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Architecture(**wrong)


def test_it_is_a_generator(small):
    assert check_generator(small().network) is not None


def test_a_new_network_makes_pictures_of_moderate_contrast():
    torch.manual_seed(0)
    network = StyleGAN(Architecture(32, 32, 4, fmap_max=32))
    rows = network.mapping(torch.randn(8, 32))
    pictures = network(rows[:, None].expand(-1, network.layers, -1), zero_noises(network.noise_sides, 1, rows.device))
    assert 0.3 < pictures.std() < 3
    assert pictures.flatten(1).std(0).mean() > 0.1  # they are not all one


def test_each_row_and_each_noise_map_has_its_layer(small):
    """What a layer is told changes nothing before it: the gradient with respect to all of them is not 0."""
    network = small().network
    latents, noises = given(network)
    leaves = [latents.requires_grad_(), *(noise.requires_grad_() for noise in noises)]
    gradients = torch.autograd.grad(network(leaves[0], leaves[1:]).square().sum(), leaves)
    assert (gradients[0].abs().amax((0, 2)) > 0).all()
    assert all(gradient.abs().amax() > 0 for gradient in gradients[1:])


def test_noise_for_all_pictures_is_that_for_each(small):
    network = small().network
    latents, _ = given(network)
    assert [tuple(noise.shape) for noise in network.noises] == [(1, 1, side, side) for side in network.noise_sides]
    each = [noise.expand(2, -1, -1, -1) for noise in network.noises]
    torch.testing.assert_close(network(latents, network.noises), network(latents, each), rtol=0, atol=1e-6)


def test_the_noise_of_a_network_is_always_the_same():
    torch.manual_seed(1)
    first = StyleGAN(Architecture(8, 4, 1, fmap_max=2)).noises
    torch.manual_seed(2)
    assert all(map(torch.equal, first, StyleGAN(Architecture(8, 4, 1, fmap_max=2)).noises))


def test_other_forms_make_the_same_pictures(small):
    network = small(32).network
    latents, noises = given(network)
    expected = network(latents, noises)
    exact = network.double()(latents.double(), [noise.double() for noise in noises])
    torch.testing.assert_close(exact.float(), expected, rtol=0, atol=1e-4)
    network.float()
    forms = [network.folded(), network.folded().to(memory_format=torch.channels_last)]
    for form in forms:
        torch.testing.assert_close(form(latents, noises), expected, rtol=0, atol=1e-4)
    assert not any("Equalised" in type(module).__name__ for module in forms[0].synthesis.modules())
    torch.testing.assert_close(network(latents, noises), expected)  # folding makes a copy

    with torch.autocast("cpu", dtype=torch.bfloat16):
        automatic = network(latents, noises)
    low = network.folded(torch.bfloat16)(latents, noises)
    lowest = small(32).network.bfloat16()(*given(network, dtype=torch.bfloat16))
    assert (low.dtype, lowest.dtype) == (torch.float32, torch.bfloat16)
    for form in (automatic, low, lowest):
        assert (form.float() - expected).std() < 0.05 * expected.std()
