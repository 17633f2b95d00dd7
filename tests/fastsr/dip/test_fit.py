"""The loop: what is minimised, averaged and reproduced."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from fastsr.consistency import Downscale
from fastsr.dip.fit import Step, fit
from fastsr.dip.network import HourglassConfig
from fastsr.dip.recipes import Recipe, choose, upscale
from fastsr.errors import InputError

BF16 = torch.bfloat16
SMALL = Recipe(HourglassConfig(channels=(8, 8)), steps=6)


def run(recipe=SMALL, seed=0, dtype=torch.float32):
    observation = torch.rand(1, 3, 6, 7, generator=torch.Generator().manual_seed(9))
    operator = Downscale((24, 28), (6, 7))
    return [
        (state.step, state.image.clone(), state.loss.item())
        for state in fit(observation, operator, (24, 28), recipe, seed=seed, dtype=dtype)
    ]


def test_same_seed_is_bitwise_the_same_and_another_is_not():
    first, again, other = run(seed=3), run(seed=3), run(seed=4)
    assert torch.equal(first[-1][1], again[-1][1])
    assert [loss for *_, loss in first] == [loss for *_, loss in again]
    assert not torch.equal(first[-1][1], other[-1][1])


def test_a_fit_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_the_loss_falls(optimizer):
    recipe = Recipe(HourglassConfig(channels=(16, 16)), steps=60, optimizer=optimizer, noise=0.01)
    losses = [loss for *_, loss in run(recipe)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_step_waits_for_nothing(optimizer, monkeypatch):
    """A number that Python reads from a tensor would stop a GPU at every step, and cannot be captured in a graph."""
    monkeypatch.setenv("FASTSR_KERNELS", "torch")  # on a CPU, torch's own generator needs the step as a number

    class NoNumbers(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            assert function is not torch.ops.aten._local_scalar_dense.default, "a tensor was read"
            return function(*args, **(kwargs or {}))

    recipe = replace(SMALL, optimizer=optimizer, final_rate=0.5)
    step = Step(torch.rand(1, 3, 6, 7), partial(F.avg_pool2d, kernel_size=4), (24, 28), recipe, seed=0, dtype=BF16)
    step()
    before = step.image.clone()
    with NoNumbers():
        step()
    assert not torch.equal(step.image, before)
    with NoNumbers(), pytest.raises(AssertionError, match="a tensor was read"):
        step.loss.item()


def test_the_rates_fall_in_the_second_half(monkeypatch):
    seen = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self: (seen.append(float(self.param_groups[0]["lr"])), step(self))[1]
    )
    run(Recipe(SMALL.network, steps=8, learning_rate=0.02, final_rate=0.2))
    assert seen == pytest.approx([0.02] * 5 + [0.016, 0.012, 0.008])
    seen.clear()
    run(Recipe(SMALL.network, steps=8))
    assert seen == pytest.approx([0.01] * 8)


def test_the_image_is_first_the_mean_then_the_running_average_of_outputs():
    steps = 12
    plain = Recipe(SMALL.network, steps=steps, average=0.0)
    outputs = [image for _, image, _ in run(plain)]
    averaged = [image for _, image, _ in run(Recipe(SMALL.network, steps=steps, average=0.75))]
    torch.testing.assert_close(averaged[3], torch.stack(outputs[:4]).mean(0))
    expected = averaged[3]
    for output in outputs[4:]:
        expected = 0.75 * expected + 0.25 * output
    torch.testing.assert_close(averaged[-1], expected)


def test_psnr_is_that_of_the_last_output():
    recipe = Recipe(SMALL.network, steps=2, average=0.0)
    observation = torch.rand(1, 3, 6, 7)
    operator = Downscale((24, 28), (6, 7))
    for state in fit(observation, operator, (24, 28), recipe, seed=0, dtype=torch.float32):
        mse = (operator(state.image) - observation).square().mean().item()
        assert state.psnr == pytest.approx(-10 * math.log10(mse), abs=1e-4)


@pytest.mark.parametrize("when", [20, 21, 25, 29])
def test_a_guarded_fit_returns_to_good_weights(when):
    """Whenever the weights are thrown back: right after the step of a look, too, whose loss was good."""
    recipe = Recipe(HourglassConfig(channels=(8, 8)), steps=60, guarded=True, learning_rate=1e-3)
    states = fit(torch.full((1, 3, 24, 28), 0.4), lambda x: x, (24, 28), recipe, seed=0, dtype=torch.float32)
    losses = []
    for state in states:
        losses.append(state.loss.item())
        if state.step == when:
            step = states.gi_frame.f_locals["step"]
            with torch.no_grad():
                step._weights.vectors.mul_(30).add_(3)
    assert losses[when] > 4 * losses[when - 1]
    assert max(losses[when // 10 * 10 + 10 :]) < 2 * losses[when - 1]


def test_paper_recipe_is_the_papers():
    for factor, steps, noise in ((4, 2000, 0.03), (8, 5000, 0.05)):
        recipe = upscale("paper", factor)
        assert recipe.network == HourglassConfig((128,) * 5, 4, 32, 3, "bilinear")
        assert (recipe.steps, recipe.noise, recipe.optimizer) == (steps, noise, "adam")
        assert (recipe.learning_rate, recipe.betas) == (0.01, (0.9, 0.999))


def test_unknown_preset_is_refused():
    with pytest.raises(InputError, match="preset='best' is unknown; choose one of 'fast', 'paper' or a"):
        choose("upscale", "best", factor=4)
