"""What networks say, and what is seen in it."""

import pytest
import torch

from fastsr.sr3.predictions import PREDICTIONS, seen, target

GAMMAS = torch.tensor([4.386e-5, 0.1, 0.5, 0.9, 0.9999], dtype=torch.float64)


def drawn():
    random = torch.Generator().manual_seed(0)
    return (torch.randn(5, generator=random, dtype=torch.float64) for _ in range(2))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_network_that_says_its_target_shows_the_picture(prediction):
    picture, noise = drawn()
    noisy = GAMMAS.sqrt() * picture + (1 - GAMMAS).sqrt() * noise
    of_picture, of_noise = target(prediction, GAMMAS)
    of_noisy, of_said = seen(prediction, GAMMAS)
    said = of_picture * picture + of_noise * noise
    torch.testing.assert_close(of_noisy * noisy + of_said * said, picture, rtol=1e-9, atol=1e-9)


def test_the_targets():
    picture, noise = drawn()
    expected = {
        "epsilon": noise,
        "v": GAMMAS.sqrt() * noise - (1 - GAMMAS).sqrt() * picture,
        "x0": picture,
    }
    assert tuple(expected) == PREDICTIONS
    for prediction, wanted in expected.items():
        of_picture, of_noise = target(prediction, GAMMAS)
        torch.testing.assert_close(of_picture * picture + of_noise * noise, wanted)
