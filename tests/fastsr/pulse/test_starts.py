import pytest
import torch

from fastsr.pulse.starts import draw


def begun(generator, seeds, **options):
    return draw(generator, seeds, **{"tile_latent": False, "noise": "trainable", "trainable_noise": 5, **options})


def test_a_start_is_the_same_whatever_it_is_drawn_with(small):
    network = small().network
    both, alone = begun(network, [4, 7]), begun(network, [7])
    assert torch.equal(both.z[1:], alone.z)
    assert all(torch.equal(one[1:], other) for one, other in zip(both.noises, alone.noises, strict=True))
    assert not torch.equal(both.z[0], both.z[1])


def test_the_last_map_is_zero_and_the_first_ones_trainable(small):
    start = begun(small().network, [0], trainable_noise=2)
    assert [tuple(noise.shape) for noise in start.noises] == [(1, 1, side, side) for side in (4, 4, 8, 8, 16, 16)]
    assert start.trainable == 2
    assert not start.noises[-1].any()
    assert all(noise.std() > 0.5 for noise in start.noises[:-1])
    assert begun(small().network, [0], trainable_noise=6).trainable == 5
    assert begun(small(8).network, [0]).trainable == 3


@pytest.mark.parametrize("noise", ["zero", "fixed"])
def test_other_noise_is_not_trainable(noise, small):
    start = begun(small().network, [0], noise=noise)
    assert start.trainable == 0
    assert start.noises[0].any() == (noise == "fixed")


def test_one_row_may_be_for_all_layers(small):
    network = small().network
    assert begun(network, [0, 1], tile_latent=True).z.shape == (2, 1, 8)
    assert begun(network, [0, 1]).z.shape == (2, 6, 8)


def test_the_caller_s_default_dtype_does_not_matter(small, other_default):
    network = small().network
    expected = begun(network, [3])
    with other_default():
        start = begun(network, [3])
    assert torch.equal(start.z, expected.z)
    assert torch.equal(start.noises[0], expected.noises[0])
    assert start.noises[-1].dtype == torch.float32
