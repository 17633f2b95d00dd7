"""What networks predict, and the x0 that follows from it."""

import pytest
import torch

from fastsr.sr3.schedules import PREDICTIONS, target_coefficients, x0_coefficients

GAMMAS = torch.tensor([4.386e-5, 0.1, 0.5, 0.9, 0.9999], dtype=torch.float64)


def draw():
    random = torch.Generator().manual_seed(0)
    return (torch.randn(5, generator=random, dtype=torch.float64) for _ in range(2))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_network_that_predicts_its_target_recovers_the_image(prediction):
    image, noise = draw()
    noisy = GAMMAS.sqrt() * image + (1 - GAMMAS).sqrt() * noise
    of_image, of_noise = target_coefficients(prediction, GAMMAS)
    of_noisy, of_output = x0_coefficients(prediction, GAMMAS)
    model_out = of_image * image + of_noise * noise
    torch.testing.assert_close(of_noisy * noisy + of_output * model_out, image, rtol=1e-9, atol=1e-9)


def test_the_targets():
    image, noise = draw()
    expected = {
        "epsilon": noise,
        "v": GAMMAS.sqrt() * noise - (1 - GAMMAS).sqrt() * image,
        "x0": image,
    }
    assert tuple(expected) == PREDICTIONS
    for prediction, target in expected.items():
        of_image, of_noise = target_coefficients(prediction, GAMMAS)
        torch.testing.assert_close(of_image * image + of_noise * noise, target)
