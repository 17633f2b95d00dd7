"""When fits end, and with which picture."""

import pytest
import torch

from fastsr.dip.stopping import NoiseLevel, RunningVariance

STEPS = 120
LEAST = 60


def watch(stopping, outputs, averages, losses):
    """Let `stopping` see the steps of a fit; return the step at which it finished, or None."""
    stopping.begin(torch.zeros(1, 1, 2, 2))
    for number, (output, average, loss) in enumerate(zip(outputs, averages, losses, strict=True), 1):
        stopping.watch(torch.tensor(number), output, average, torch.tensor(loss))
        if stopping.finished():
            return number
    return None


@pytest.fixture
def averages():
    """Pictures that tell at which step they were."""
    return [torch.full((1, 1, 2, 2), float(step)) for step in range(1, STEPS + 1)]


@pytest.fixture
def outputs():
    """Outputs that jump about less and less up to a step, and then more and more."""
    signs = torch.randint(0, 2, (STEPS, 1, 1, 2, 2), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    return [sign * (0.1 + abs(step - LEAST) / STEPS) for step, sign in enumerate(signs)]


def test_the_variance_ends_a_fit_some_steps_after_its_least(outputs, averages):
    stopping = RunningVariance(patience=20, share=0.2)
    end = watch(stopping, outputs, averages, [0.0] * STEPS)
    best = stopping.image[0, 0, 0, 0].item()
    assert LEAST <= best <= LEAST + 15  # the window looks back
    assert end == best + 20


def test_an_exact_variance_is_the_weighted_one():
    stopping = RunningVariance(patience=1000, share=0.25)
    stopping.begin(torch.zeros(1, 1, 2, 2))
    generator = torch.Generator().manual_seed(3)
    outputs = torch.rand(40, 1, 1, 2, 2, generator=generator)
    for number, output in enumerate(outputs, 1):
        stopping.watch(torch.tensor(number), output, output, torch.tensor(0.0))
    # The first four steps weigh alike; from then on a step has a quarter, and what came before three quarters.
    weights = torch.tensor([0.25 * 0.75**36] * 4 + [0.25 * 0.75 ** (40 - step) for step in range(5, 41)])
    assert weights.sum().item() == pytest.approx(1)
    weights = weights.view(-1, 1, 1, 1, 1)
    mean = (weights * outputs).sum(0)
    expected = (weights * (outputs - mean) ** 2).sum(0).mean()
    assert stopping._variance.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_first_steps_of_the_variance_do_not_count(averages):
    still = [torch.zeros(1, 1, 2, 2)] * 5 + [torch.full((1, 1, 2, 2), float(step % 7)) for step in range(STEPS - 5)]
    stopping = RunningVariance(patience=1000, share=0.1)
    assert watch(stopping, still, averages, [0.0] * STEPS) is None
    assert stopping.image[0, 0, 0, 0].item() > 10


def test_before_there_is_a_least_variance_the_image_is_the_average(averages):
    stopping = RunningVariance(patience=5, share=0.1)
    assert watch(stopping, averages[:6], averages[:6], [0.0] * 6) is None
    assert torch.equal(stopping.image, averages[5])


def test_known_noise_ends_a_fit_when_its_error_is_the_noises(averages):
    losses = [1.0 / step for step in range(1, STEPS + 1)]
    stopping = NoiseLevel(sigma=0.2, share=1.0)  # the error of the step itself
    assert watch(stopping, averages, averages, losses) == 25
    assert torch.equal(stopping.image, averages[24])


def test_the_picture_of_the_end_stays(averages):
    stopping = NoiseLevel(sigma=0.2, share=1.0)
    stopping.begin(averages[0])
    for number, average in enumerate(averages[:5], 1):
        stopping.watch(torch.tensor(number), average, average, torch.tensor(0.01 if number == 3 else 1.0))
    assert stopping.finished()
    assert torch.equal(stopping.image, averages[2])


def test_one_lucky_step_does_not_end_a_fit(averages):
    losses = [0.05] * 50
    losses[30] = 0.01
    assert watch(NoiseLevel(sigma=0.2), averages[:50], averages[:50], losses) is None


def test_a_fit_that_never_comes_down_to_the_noise_has_its_last_average(averages):
    stopping = NoiseLevel(sigma=0.01)
    assert watch(stopping, averages, averages, [0.5] * STEPS) is None
    assert torch.equal(stopping.image, averages[-1])
