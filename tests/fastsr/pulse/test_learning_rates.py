import pytest
import torch

from fastsr.pulse.learning_rates import factors


@pytest.mark.parametrize(("step", "factor"), [(0, 0.1), (45, 1.0), (90, 0.1), (99, 0.0109), (9, 0.28)])
def test_the_published_schedule_rises_falls_and_drops(step, factor):
    assert factors("linear1cycledrop", 100)[step].item() == pytest.approx(factor, rel=1e-5)
    assert factors("linear1cycledrop", 1000)[10 * step].item() == pytest.approx(factor, rel=1e-5)


def test_others():
    assert factors("linear1cycle", 4).tolist() == pytest.approx([0.1, 0.55, 1.0, 0.55])
    assert torch.equal(factors("fixed", 3), torch.ones(3))


@pytest.mark.parametrize("schedule", ["linear1cycledrop", "linear1cycle", "fixed"])
def test_a_single_step_has_a_rate(schedule):
    assert factors(schedule, 1).shape == (1,)
    assert factors(schedule, 1)[0] > 0
