"""Plans: the numbers of each step, in the order in which a step takes them."""

import pytest
import torch

from fastsr.sr3.plans import plan
from fastsr.sr3.predictions import PREDICTIONS, seen
from fastsr.sr3.samplers import SAMPLERS
from fastsr.sr3.schedules import Schedule
from fastsr.sr3.spacings import SPACINGS

CURVE = Schedule().curve()


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_plan_is_a_spacing_what_is_seen_there_and_the_steps_of_a_sampler(prediction, sampler, spacing):
    made = plan(CURVE, prediction, sampler, spacing, 7)
    gammas = SPACINGS[spacing](CURVE, 7)
    assert made.steps == 7
    assert torch.equal(made.gammas, gammas[:-1])
    assert (made.coefficients.shape, made.coefficients.dtype) == ((7, 6), torch.float64)
    for column, numbers in enumerate(seen(prediction, gammas[:-1])):
        assert torch.equal(made.coefficients[:, column], numbers)
    assert torch.equal(made.coefficients[:, 2:], SAMPLERS[sampler].table(gammas))
    assert made.coefficients.isfinite().all()
