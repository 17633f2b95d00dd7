"""Noise curves, against their formulas."""

import math

import pytest
import torch

from fastsr.sr3.schedules import PURE, SCHEDULES, Schedule, curve_of, is_curve

T, START, END = 2000, 1e-6, 1e-2


def left(betas):
    """1 and the product of the first factors 1 - beta, by sums of logarithms."""
    found, total = [1.0], []
    for beta in betas:
        total.append(math.log1p(-beta))
        found.append(math.exp(math.fsum(total)))
    return torch.tensor(found, dtype=torch.float64)


def rising(count):
    return [START + (END - START) * index / (count - 1) for index in range(count)]


BETAS = {
    "linear": rising(T),
    "quad": [(START**0.5 + (END**0.5 - START**0.5) * index / (T - 1)) ** 2 for index in range(T)],
    "warmup10": rising(200) + [END] * 1800,
    "warmup50": rising(1000) + [END] * 1000,
    "const": [END] * T,
}


def test_the_default_is_that_of_the_paper():
    curve = Schedule().curve()
    assert (curve.shape, curve.dtype) == ((2001,), torch.float64)
    assert curve[0] == 1
    assert curve[1].item() == pytest.approx(1 - 1e-6, abs=1e-15)
    assert curve[-1].item() == pytest.approx(4.386e-5, rel=1e-4)


@pytest.mark.parametrize("name", BETAS)
def test_the_curve_is_the_product_of_what_the_betas_leave(name):
    torch.testing.assert_close(Schedule(name).curve(), left(BETAS[name]), rtol=1e-10, atol=0)


def test_cosine_is_a_squared_cosine_until_the_last_beta_is_limited():
    curve = Schedule("cosine").curve()
    places = [math.cos((t / T + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(T)]
    expected = torch.tensor([place / places[0] for place in places], dtype=torch.float64)
    torch.testing.assert_close(curve[:-1], expected, rtol=1e-9, atol=0)
    assert (curve[-1] / curve[-2]).item() == pytest.approx(1 - 0.999)


def test_every_schedule_falls_all_the_way():
    assert set(SCHEDULES) == {*BETAS, "cosine"}
    for name in SCHEDULES:
        curve = Schedule(name).curve()
        assert len(curve) == T + 1
        assert (curve.diff() < 0).all()
        assert 0 < curve[-1] <= PURE


@pytest.mark.parametrize("name", SCHEDULES)
def test_two_steps_are_a_schedule(name):
    assert len(Schedule(name, 2, 0.5, 0.95).curve()) == 3


def test_a_curve_is_made_in_float64():
    betas = torch.full((2000,), 1e-6, dtype=torch.float32)
    curve = curve_of(betas)
    assert curve.dtype == torch.float64
    assert curve[-1].item() == pytest.approx((1 - float(betas[0])) ** 2000, rel=1e-12)


def test_what_can_be_a_curve():
    assert is_curve(torch.tensor([1, 0.5, 0.1]))
    for numbers in ([1, 0.5], [0.9, 0.5, 0.1], [1, 0.5, 0.5], [1, 0.5, 0], [1, float("nan"), 0.1], [[1, 0.5, 0.1]]):
        assert not is_curve(torch.tensor(numbers))


def test_a_schedule_that_ends_too_early_is_refused():
    message = r"a schedule 'linear' of 100 steps up to beta 0\.01 ends at gamma 0\.605.*more steps, or a larger end"
    with pytest.raises(ValueError, match=message):
        Schedule(steps=100).curve()
    assert Schedule(steps=100, end=0.2).curve()[-1] < PURE


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "jsd"}, "schedule='jsd' is unknown; use one of linear, cosine, quad, warmup10, warmup50, const"),
        ({"steps": 1}, "steps=1 of the schedule is not a whole number of at least 2"),
        ({"start": 0.0}, r"start=0\.0 and end=0\.01 are not betas"),
        ({"end": 1.0}, r"start=1e-06 and end=1\.0 are not betas"),
        ({"start": 0.1}, r"start=0\.1 and end=0\.01 are not betas with 0 < start <= end < 1"),
        ({"end": float("nan")}, "end=nan are not betas"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**wrong)
