import pytest
import torch

from fastsr.pulse.spherical import OPTIMIZERS, Spherical


def tensors(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rows_keep_the_length_that_they_began_with(name):
    latents, noise = tensors(2, 3, 8), 3 * tensors(2, 1, 4, 4, seed=1)
    begun = latents.clone(), noise.clone()
    optimizer = Spherical(name, [latents, noise], torch.tensor(0.4))
    for seed in range(3):
        optimizer.step([tensors(2, 3, 8, seed=seed), tensors(2, 1, 4, 4, seed=seed)])
    for now, before in zip((latents, noise), begun, strict=True):
        torch.testing.assert_close(now.flatten(2).norm(dim=2), before.flatten(2).norm(dim=2))
        assert (now - before).abs().max() > 0.1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_pictures_do_not_depend_on_each_other(name):
    both, alone = tensors(2, 3, 8), tensors(2, 3, 8)[:1].clone()
    together, single = (Spherical(name, [x], torch.tensor(0.4)) for x in (both, alone))
    for seed in range(3):
        gradient = tensors(2, 3, 8, seed=seed)
        together.step([gradient])
        single.step([gradient[:1]])
    assert torch.equal(both[:1], alone)


def test_the_rate_is_read_at_each_step():
    x, rate = tensors(1, 1, 8), torch.tensor(0.0)
    before = x.clone()
    optimizer = Spherical("sgd", [x], rate)
    gradient = tensors(1, 1, 8, seed=1)
    optimizer.step([gradient])
    torch.testing.assert_close(x, before)
    rate.fill_(0.5)
    optimizer.step([gradient])
    moved = before - 0.5 * gradient
    torch.testing.assert_close(x, moved * before.norm() / moved.norm())


def test_a_row_of_zeros_stays_one():
    x = torch.zeros(1, 2, 4)
    Spherical("adam", [x], torch.tensor(0.4)).step([torch.ones(1, 2, 4)])
    assert not x.any()
