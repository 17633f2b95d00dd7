"""Where samplers look on the noise curve of the training."""

import math

import pytest
import torch

from fastsr.sr3.schedules import Schedule
from fastsr.sr3.spacings import CLEAREST, SPACINGS, karras, uniform_log_snr, uniform_time

CURVE = Schedule().curve()


@pytest.mark.parametrize("name", SPACINGS)
@pytest.mark.parametrize("schedule", ["linear", "cosine", "const"])
@pytest.mark.parametrize("steps", [1, 2, 7, 20, 2000])
def test_steps_begin_in_noise_stay_on_the_curve_and_end_at_the_picture(name, schedule, steps):
    curve = Schedule(schedule).curve()
    gammas = SPACINGS[name](curve, steps)
    assert (gammas.shape, gammas.dtype) == ((steps + 1,), torch.float64)
    assert gammas[0].item() == pytest.approx(curve[-1].item(), rel=1e-9)
    assert gammas[-1] == 1
    assert (gammas.diff() > 0).all()
    assert gammas[:-1].max() <= curve[1] * (1 + 1e-12)


def test_all_steps_of_the_training_are_those_of_the_training():
    assert torch.equal(uniform_time(CURVE, 2000), CURVE.flip(0))


def test_steps_of_one_length_in_time():
    gammas = uniform_time(CURVE, 5)
    for gamma, time in zip(gammas, (2000, 1500.25, 1000.5, 500.75, 1), strict=False):
        low = math.floor(time)
        between = CURVE[low] + (time - low) * (CURVE[min(low + 1, 2000)] - CURVE[low])
        assert gamma.item() == pytest.approx(between.item(), rel=1e-12)


def test_more_steps_than_the_training_had_lie_between_its_own():
    gammas = uniform_time(Schedule(steps=100, end=0.2).curve(), 991)
    assert (gammas.diff() > 0).all()


def test_steps_of_one_length_in_the_logarithm_of_the_ratio_of_signal_to_noise():
    gammas = uniform_log_snr(CURVE, 20)[:-1]
    ratios = (gammas / (1 - gammas)).log()
    torch.testing.assert_close(ratios.diff(), ratios.diff()[:1].expand(19), rtol=1e-6, atol=0)
    assert gammas[-1].item() == pytest.approx(CLEAREST)


def test_karras_is_the_formula_of_its_paper():
    gammas = karras(CURVE, 20)
    largest, smallest = (((1 - gamma) / gamma) ** 0.5 for gamma in (CURVE[-1].item(), CLEAREST))
    for index in range(20):
        root = largest ** (1 / 7) + index / 19 * (smallest ** (1 / 7) - largest ** (1 / 7))
        assert gammas[index].item() == pytest.approx(1 / (1 + (root**7) ** 2), rel=1e-9)


@pytest.mark.parametrize("name", ["log-snr", "karras"])
def test_the_last_look_is_not_beyond_what_training_has_seen(name):
    curve = Schedule("const").curve()  # its first beta is 0.01
    assert SPACINGS[name](curve, 5)[-2].item() == pytest.approx(0.99)
