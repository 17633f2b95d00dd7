import pytest
import torch
from accelerate import Accelerator

from fastsr.errors import TrainingError
from fastsr.training.meter import Meter

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture
def meter():
    return Meter(Accelerator(cpu=True))


def add(meter, step, **losses):
    meter.add({name: torch.tensor(value) for name, value in losses.items()}, step)


def test_means_are_over_the_steps_since_the_last_reading(meter):
    add(meter, 1, a=1.0, b=10.0)
    add(meter, 2, a=3.0, b=30.0)
    assert meter.read() == {"a": 2.0, "b": 20.0}
    add(meter, 3, a=5.0, b=1.0)
    assert meter.read() == {"a": 5.0, "b": 1.0}


def test_losses_of_another_stage_begin_anew(meter):
    add(meter, 1, a=1.0)
    meter.read()
    add(meter, 2, b=4.0, c=2.0)
    assert meter.read() == {"b": 4.0, "c": 2.0}


def test_the_first_loss_that_is_not_finite_is_named(meter):
    add(meter, 1, a=1.0, b=1.0)
    meter.check()
    add(meter, 2, a=1.0, b=float("inf"))
    add(meter, 3, a=float("nan"), b=1.0)
    with pytest.raises(TrainingError, match="the loss 'b' is not finite in step 2"):
        meter.check()


def test_sums_go_on_from_a_state(meter):
    add(meter, 1, a=1.0)
    state = meter.state()
    other = Meter(Accelerator(cpu=True))
    other.load(state)
    for each in (meter, other):
        add(each, 2, a=0.1)
    assert meter.read() == other.read()
