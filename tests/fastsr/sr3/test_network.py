"""The U-Net: its shapes, and what it computes, against an independent statement of the published network."""

import pytest
import torch

from fastsr.sr3.network import PUBLISHED, UNet, UNetConfig, levels_of

SHAPES = [
    pytest.param({}, (8, (1, 2), (8,), 1, 16, 4), id="one block, attention at the smaller size"),
    pytest.param({"blocks": 3, "multipliers": (2, 1, 3)}, (8, (2, 1, 3), (8,), 3, 16, 4), id="three blocks"),
    pytest.param({"blocks": 2, "attention": (0, 1)}, (8, (1, 2), (16, 8), 2, 16, 4), id="attention everywhere"),
    pytest.param({"multipliers": (1,), "attention": ()}, (8, (1,), (), 1, 16, 4), id="one size"),
]


def pictures(count=2, height=16, width=16):
    random = torch.Generator().manual_seed(3)
    return (torch.randn(count, 3, height, width, generator=random) for _ in range(2))


@pytest.mark.parametrize(
    ("side", "parameters", "facts"),
    [
        (128, 97_807_491, (64, (1, 2, 4, 8, 8), (16,), 2, 128, 32)),
        (512, 155_334_339, (64, (1, 2, 4, 8, 16), (), 1, 512, 16)),
    ],
)
def test_the_published_networks_have_their_weights(side, parameters, facts, published):
    with torch.device("meta"):
        network = UNet(PUBLISHED[side])
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    found = {published.key(key): tuple(value.shape) for key, value in network.state_dict().items()}
    assert found == published(*facts).shapes()
    assert (network.config.groups, network.config.dropout) == {128: (32, 0.2), 512: (16, 0.0)}[side]


@pytest.mark.parametrize(("config", "facts"), SHAPES)
def test_it_computes_what_the_published_network_does(config, facts, small, published):
    network = small(gain=1.0, **config).network
    weights = {published.key(key): value for key, value in network.state_dict().items()}
    level = torch.tensor([0.9, 0.3])
    condition, noisy = pictures()
    expected = published(*facts).says(weights, condition, noisy, level)
    assert expected.std() > 0.3
    assert (network(condition, noisy, level) - expected).abs().max() < 1e-5


def test_the_published_file_for_128_has_374_keys(published):
    assert len(published(64, (1, 2, 4, 8, 8), (16,), 2, 128).shapes()) + len(published.buffers(torch.rand(5))) == 374


def test_it_takes_other_sides_and_each_picture_alone(small, published):
    network = small().network
    level = torch.tensor([0.9, 0.3])
    condition, noisy = pictures(2, 12, 26)
    together = network(condition, noisy, level)
    assert together.shape == (2, 3, 12, 26)
    alone = network(condition[1:], noisy[1:], level[1:])
    assert (together[1:] - alone).abs().max() < 1e-6


@pytest.mark.parametrize("which", [0, 1, 2])
def test_everything_that_it_is_given_matters(which, small):
    network = small(gain=1.0).network
    given = [*pictures(), torch.tensor([0.9, 0.3])]
    before = network(*given)
    given[which] = given[which] * 0.5
    assert (network(*given) - before).abs().max() > 1e-2


def test_at_first_it_says_nothing():
    network = UNet(UNetConfig(8, (1, 2), 1, (), 4))
    assert all(parameter.any() for name, parameter in network.named_parameters() if name.endswith("conv1.weight"))
    assert not network(*pictures(), torch.tensor([0.9, 0.3])).any()


def test_dropout_is_in_the_second_half_of_a_block_and_in_training_alone(small):
    network = small(dropout=0.5).network
    given = [*pictures(), torch.tensor([0.9, 0.3])]
    assert torch.equal(network(*given), network(*given))
    torch.manual_seed(0)
    block = network.train().downs[0].residual
    first, second = [], []
    block.conv1.register_forward_pre_hook(lambda module, x: first.append(x[0]))
    block.conv2.register_forward_pre_hook(lambda module, x: second.append(x[0]))
    network(*given)
    assert first[0].ne(0).all()
    assert 0.4 < second[0].eq(0).float().mean() < 0.6


def test_bfloat16_stays_near(small):
    level = torch.tensor([0.9, 0.3])
    condition, noisy = pictures()
    expected = small(gain=1.0).network(condition, noisy, level)
    lowered = small(gain=1.0).network.lower(torch.bfloat16)
    said = lowered(condition, noisy, level)
    assert said.dtype == torch.bfloat16
    assert 0 < (said - expected).abs().max() < 0.1
    assert (said - expected).abs().mean() < 0.02
    dtypes = {name: parameter.dtype for name, parameter in lowered.named_parameters()}
    assert {dtypes[f"{name}.weight"] for name in ("first", "level.first", "norm", "downs.0.residual.level")} == {
        torch.float32
    }
    assert {dtypes[f"{name}.weight"] for name in ("last", "downs.0.residual.conv1", "mid.0.attention.qkv")} == {
        torch.bfloat16
    }


@pytest.mark.parametrize("lowered", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
def test_small_levels_of_noise_are_told_apart_in_bfloat16(lowered, autocast, small):
    network = small().network
    expected = network.level(torch.tensor([0.9999, 0.99995]))
    told = []
    network.level.register_forward_hook(lambda module, given, made: told.append(made))
    if lowered:
        network.lower(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        network(*pictures(), torch.tensor([0.9999, 0.99995]))
    assert told[0].dtype == torch.float32
    assert torch.equal(told[0], expected)
    assert torch.tensor([0.9999, 0.99995]).bfloat16().unique().numel() == 1
    assert (expected[0] - expected[1]).abs().max() > 5e-6


def test_it_computes_in_float32_whatever_the_caller_s_default_is(small):
    network, given = small().network, [*pictures(), torch.tensor([0.9, 0.3])]
    expected = network(*given)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(network(*given), expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_gradients_reach_every_weight(small):
    network = small().network.train().requires_grad_(True)
    network(*pictures(), torch.tensor([0.9, 0.3])).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 0}, "width=0 is not a whole number of at least 1"),
        ({"blocks": 0}, "blocks=0 is not"),
        ({"groups": 0}, "groups=0 is not"),
        ({"width": 33, "groups": 1}, "width=33 is odd"),
        ({"multipliers": ()}, r"multipliers=\(\) are not"),
        ({"multipliers": (1, 0)}, r"multipliers=\(1, 0\) are not"),
        ({"attention": (5,)}, r"attention=\(5,\) are not sizes from 0 to 4"),
        ({"dropout": 1.0}, "dropout=1.0 is not a part"),
        ({"dropout": -0.1}, "dropout=-0.1 is not a part"),
        ({"width": 48}, "groups=32 do not divide the 48 channels of a norm"),
    ],
)
def test_shapes_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        UNetConfig(**wrong)


def test_what_follows_from_the_shape():
    config = UNetConfig(8, (1, 2, 4), 1, (), 4)
    assert config.channels == [8, 16, 32]
    assert config.multiple == 4
    assert UNetConfig(16, (1, 2, 4), 1, (), 4).floats == 2 * config.floats


def test_attention_is_named_by_the_side_of_the_features():
    assert levels_of((16,), 128, 5) == (3,)
    assert levels_of((8, 128), 128, 5) == (0, 4)
    assert levels_of((), 128, 5) == ()
    with pytest.raises(ValueError, match=r"attention=4 is the side of no features; they have 128, 64, 32, 16, 8"):
        levels_of((16, 4), 128, 5)
