"""Samplers on a problem that can be solved exactly: data that are Gaussian, of standard deviation 0.1.

The network that knows the data sees s^2 sqrt(gamma) x / (s^2 gamma + 1 - gamma) in a noisy x. All steps are linear, so
that the variance at the end follows without a draw.
"""

import pytest
import torch

from fastsr.sr3.samplers import SAMPLERS
from fastsr.sr3.schedules import Schedule
from fastsr.sr3.spacings import SPACINGS

CURVE = Schedule().curve()
DEVIATION = 0.1
STEPS = (100, 25, 10, 4)
RECOVERED = {
    ("ddpm", "time"): ("0.80", "0.54", "0.26", "0.07"),
    ("ddim", "time"): ("0.88", "0.58", "0.27", "0.08"),
    ("ddim", "log-snr"): ("0.97", "0.90", "0.76", "0.43"),
    ("dpm-solver++", "log-snr"): ("0.996", "1.003", "0.997", "0.592"),
}
"""The part of the standard deviation that samples have."""


def recovered(sampler, spacing, steps, deviation=DEVIATION, curve=CURVE):
    """That part, by the covariance of what is noisy and what was seen in it a step before."""
    gammas = SPACINGS[spacing](curve, steps)
    covariance = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    for gamma, (a, b, c, d) in zip(gammas[:-1], SAMPLERS[sampler].table(gammas), strict=True):
        sees = deviation**2 * gamma.sqrt() / (deviation**2 * gamma + 1 - gamma)
        step = torch.tensor([[a + b * sees, c], [sees, 0]], dtype=torch.float64)
        covariance = step @ covariance @ step.T
        covariance[0, 0] += d**2
    return covariance[0, 0].sqrt().item() / deviation


@pytest.mark.parametrize(
    ("sampler", "spacing", "steps", "part"),
    [(*names, steps, part) for names, parts in RECOVERED.items() for steps, part in zip(STEPS, parts, strict=True)],
)
def test_the_part_of_the_deviation_that_samples_have(sampler, spacing, steps, part):
    digits = len(part.partition(".")[2])
    assert f"{recovered(sampler, spacing, steps):.{digits}f}" == part


@pytest.mark.parametrize(("sampler", "spacing"), [("ddpm", "time"), ("ddim", "log-snr")])
def test_the_others_are_of_first_order(sampler, spacing):
    curve = Schedule(steps=2000, start=1e-8, end=2e-2).curve()
    errors = [abs(1 - recovered(sampler, spacing, steps, 0.5, curve)) for steps in (100, 200, 400)]
    assert errors[2] < 0.03
    assert 1.7 < errors[0] / errors[1] < 2.4


def test_dpm_solver_is_of_second_order():
    """Without its last step, which no order helps: from the noise left there to the picture."""

    def after(steps):
        curve = Schedule(steps=2000, end=2e-2).curve()
        gammas = SPACINGS["log-snr"](curve, steps)
        x, before = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        for gamma, (a, b, c, _) in list(zip(gammas[:-1], SAMPLERS["dpm-solver++"].table(gammas), strict=True))[:-1]:
            sees = 0.25 * gamma.sqrt() / (0.25 * gamma + 1 - gamma) * x
            x, before = a * x + b * sees + c * before, sees
        first, last = (0.25 * gamma + 1 - gamma for gamma in (gammas[0], gammas[-2]))
        return abs(x.item() - (last / first).sqrt().item())  # the probability flow keeps x / deviation

    assert 3.3 < after(41) / after(81) < 4.7


@pytest.mark.parametrize("spacing", SPACINGS)
def test_dpm_solver_takes_what_is_seen_in_the_middle_of_a_step(spacing):
    """Where that is a line in half the log-SNR; the first and the last step take what is seen."""
    gammas = SPACINGS[spacing](CURVE, 10)
    places = torch.logit(gammas[:-1]) / 2
    plain, table = (SAMPLERS[name].table(gammas) for name in ("ddim", "dpm-solver++"))
    middle = (places[1:-1] + places[2:]) / 2
    torch.testing.assert_close(table[1:-1, 1] * places[1:-1] + table[1:-1, 2] * places[:-2], plain[1:-1, 1] * middle)
    assert torch.equal(table[[0, -1]], plain[[0, -1]])
    assert torch.equal(table[:, [0, 3]], plain[:, [0, 3]])


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_picture_seen_from_the_beginning_is_the_sample(sampler, spacing):
    gammas = SPACINGS[spacing](CURVE, 10)
    x, picture = 0.7, 0.4
    for index, (a, b, c, d) in enumerate(SAMPLERS[sampler].table(gammas).tolist()):
        x = a * x + b * picture + c * (picture if index else 123.0)
        assert d >= 0
    assert x == pytest.approx(picture, abs=1e-12)
    assert d == 0


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_step_from_the_noise_of_one_level_has_the_noise_of_the_next(sampler):
    """Of a network that sees the picture 0 in everything: the noise goes from 1 - gamma to 1 - the next."""
    gammas = SPACINGS["log-snr"](CURVE, 10)
    for now, then, (a, _, _, d) in zip(gammas[:-1], gammas[1:], SAMPLERS[sampler].table(gammas), strict=True):
        assert (a**2 * (1 - now) + d**2).item() == pytest.approx((1 - then).item(), abs=1e-12)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_fewest_steps_are_a_plan(sampler):
    known = SAMPLERS[sampler]
    table = known.table(SPACINGS[known.spacing](CURVE, known.least))
    assert (table.shape, table.dtype) == ((known.least, 4), torch.float64)
    assert table.isfinite().all()
