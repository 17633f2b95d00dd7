"""Sampling: the loop, against exact answers and against that of the best-known implementation."""

import pytest
import torch

from fastsr.errors import FastsrError, NotFiniteError
from fastsr.sr3.plans import plan
from fastsr.sr3.predictions import PREDICTIONS
from fastsr.sr3.samplers import SAMPLERS
from fastsr.sr3.sampling import START, sample
from fastsr.sr3.schedules import Schedule, curve_of
from fastsr_kernels.noise import diffuse, reverse_step

CURVE = Schedule().curve()
DEVIATION = 0.1


def seeds(*numbers):
    return torch.tensor(numbers, dtype=torch.int64)


def last(network, steps, condition, numbers):
    """The samples."""
    *_, (made, _) = sample(network, steps, condition, numbers)
    return made.clone()


def noise_of(condition, numbers, step):
    zeros, ones = torch.zeros(len(condition)), torch.ones(len(condition))
    return diffuse(torch.zeros_like(condition), zeros, ones, numbers, step)


def knows_the_data(prediction="epsilon", mean=0.0):
    """A network that says what is most probable for Gaussian data of deviation 0.1 about a picture."""

    def says(condition, noisy, level):
        gamma = level.double().square()[:, None, None, None]
        about = mean * condition.double()
        rest = noisy.double() - gamma.sqrt() * about
        picture = about + DEVIATION**2 * gamma.sqrt() * rest / (DEVIATION**2 * gamma + 1 - gamma)
        noise = (noisy.double() - gamma.sqrt() * picture) / (1 - gamma).sqrt()
        said = {"x0": picture, "epsilon": noise, "v": gamma.sqrt() * noise - (1 - gamma).sqrt() * picture}
        return said[prediction].float()

    return says


@pytest.mark.parametrize(
    ("sampler", "spacing", "steps", "part"),
    [
        ("ddpm", "time", 25, 0.538),
        ("ddpm", "time", 4, 0.070),
        ("ddim", "time", 10, 0.271),
        ("ddim", "log-snr", 10, 0.764),
        ("dpm-solver++", "log-snr", 100, 0.996),
        ("dpm-solver++", "log-snr", 25, 1.003),
        ("dpm-solver++", "log-snr", 4, 0.592),
    ],
)
def test_samples_have_the_deviation_that_the_equations_say(sampler, spacing, steps, part):
    made = last(
        knows_the_data(), plan(CURVE, "epsilon", sampler, spacing, steps), torch.zeros(4, 3, 64, 64), seeds(*range(4))
    )
    assert made.std().item() / DEVIATION == pytest.approx(part, rel=0.015)
    assert abs(made.mean().item()) < 0.002


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samples_lie_about_what_the_condition_says(sampler):
    condition = torch.linspace(-0.5, 0.5, 64 * 64).view(1, 1, 64, 64).repeat(2, 3, 1, 1)
    steps = plan(CURVE, "epsilon", sampler, SAMPLERS[sampler].spacing, 20)
    made = last(knows_the_data(mean=1.0), steps, condition, seeds(5, 6))
    rest = made - condition
    assert abs(rest.mean().item()) < 0.002
    assert torch.corrcoef(torch.stack([made.flatten(), condition.flatten()]))[0, 1] > 0.9
    assert abs(torch.corrcoef(rest.flatten(1))[0, 1].item()) < 0.03


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("prediction", PREDICTIONS[1:])
def test_the_sample_does_not_depend_on_what_a_network_says_of_the_same_picture(sampler, prediction):
    condition = torch.zeros(2, 3, 16, 16)
    made = [
        last(knows_the_data(says), plan(CURVE, says, sampler, "log-snr", 12), condition, seeds(1, 2))
        for says in ("epsilon", prediction)
    ]
    assert made[0].std() > 0.02
    assert (made[0] - made[1]).abs().max() < 2e-4


BETAS = torch.linspace(1e-4, 0.3, 50, dtype=torch.float64)


@pytest.mark.parametrize("gain", [0.3, 3.0])
def test_all_steps_of_the_training_are_the_loop_of_the_best_known_implementation(gain, small, published):
    network = small(gain=gain).network
    condition = 2 * torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) - 1
    numbers = seeds(3, 2**40)
    made = last(network, plan(curve_of(BETAS), "epsilon", "ddpm", "time", 50), condition, numbers)

    table = published.buffers(BETAS)
    x, clipped = noise_of(condition, numbers, START).double(), 0
    for done, t in enumerate(reversed(range(50)), 1):
        level = table["alphas_cumprod"][t].sqrt().float().expand(2)
        noise = network(condition, x.float(), level).double()
        picture = table["sqrt_recip_alphas_cumprod"][t] * x - table["sqrt_recipm1_alphas_cumprod"][t] * noise
        clipped += int((picture.abs() > 1).sum())
        picture = picture.clamp(-1, 1)
        mean = table["posterior_mean_coef1"][t] * picture + table["posterior_mean_coef2"][t] * x
        drawn = noise_of(condition, numbers, done) if t > 0 else torch.zeros_like(condition)
        x = mean + drawn * (0.5 * table["posterior_log_variance_clipped"][t]).exp()
    assert clipped > 0
    assert 0.1 < x.std() < 1
    assert (made - x).abs().max() < 1e-5


def test_noise_is_that_of_the_seed_and_the_step(monkeypatch):
    """A network that sees nothing at all leaves what was drawn, as the numbers of the steps have it."""
    steps = plan(CURVE, "x0", "ddpm", "time", 3)
    condition, numbers, x = torch.zeros(1, 3, 8, 8), seeds(9), None
    seen = []

    def says(condition, noisy, level):
        seen.append(noisy.clone())
        return torch.zeros_like(noisy)

    last(says, steps, condition, numbers)
    for number, row in enumerate(steps.coefficients.float(), 1):
        x = noise_of(condition, numbers, START) if x is None else x
        assert (seen[number - 1] - x).abs().max() < 1e-6
        x = row[2] * x + row[5] * noise_of(condition, numbers, number)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sample_depends_on_its_seed_and_not_on_its_batch(sampler, small):
    network = small().network
    steps = plan(CURVE, "x0", sampler, "log-snr", 6)
    condition = 2 * torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1)) - 1
    numbers = seeds(7, 8, 7)
    together = last(network, steps, condition, numbers)
    for row in range(3):
        alone = last(network, steps, condition[row : row + 1], numbers[row : row + 1])
        assert (together[row] - alone[0]).abs().max() < 1e-5
    again = last(network, steps, condition[:1], seeds(8))
    assert (together[0] - again[0]).abs().max() > 0.05


def test_the_network_is_asked_at_the_levels_of_the_plan(small):
    asked = []

    def says(condition, noisy, level):
        asked.append(level)
        return torch.zeros_like(noisy)

    steps = plan(CURVE, "x0", "ddim", "karras", 5)
    last(says, steps, torch.zeros(2, 3, 8, 8), seeds(0, 1))
    assert torch.equal(torch.stack(asked), steps.gammas.sqrt().float()[:, None].expand(5, 2))


def test_every_step_is_told(small):
    """How far it is, what is seen, and in what."""
    network, steps = small(prediction="v").network, plan(CURVE, "v", "dpm-solver++", "log-snr", 5)
    condition = torch.zeros(2, 3, 16, 16)
    told = [(seen.clone(), state) for seen, state in _kept(sample(network, steps, condition, seeds(1, 2)))]
    assert [(state.step, state.steps, state.first) for _, state in told] == [(step, 5, 0) for step in range(1, 6)]
    first = told[0][1].noisy
    assert torch.equal(first, noise_of(condition, seeds(1, 2), START))
    for (seen, state), gamma in zip(told, steps.gammas, strict=True):
        assert state.level == pytest.approx(gamma.sqrt().item())
        said = network(condition, state.noisy, torch.tensor(state.level).expand(2))
        expected = state.level * state.noisy - (1 - state.level**2) ** 0.5 * said
        assert (seen - expected.clamp(-1, 1)).abs().max() < 1e-5


def _kept(steps):
    for seen, state in steps:
        state.noisy = state.noisy.clone()
        yield seen, state


def test_what_is_yielded_is_overwritten_but_not_by_what_reads_it(small):
    network, steps = small().network, plan(CURVE, "x0", "dpm-solver++", "log-snr", 5)
    expected = last(network, steps, torch.zeros(1, 3, 16, 16), seeds(1))
    running = sample(network, steps, torch.zeros(1, 3, 16, 16), seeds(1))
    first, _ = next(running)
    second, _ = next(running)
    assert first.data_ptr() == second.data_ptr()
    *_, (made, _) = running
    assert torch.equal(made, expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("step", [1, 3, 4])
def test_the_step_that_is_not_finite_is_named(value, step):
    asked = []

    def says(condition, noisy, level):
        asked.append(level)
        said = torch.zeros_like(noisy)
        if len(asked) == step:
            said[1, 2, 3, 3] = value
        return said

    with pytest.raises(NotFiniteError, match=f"what the network says in step {step} of 4 is not finite") as raised:
        last(says, plan(CURVE, "x0", "ddim", "log-snr", 4), torch.zeros(2, 3, 8, 8), seeds(0, 1))
    assert isinstance(raised.value, FastsrError)
    assert len(asked) == step


def test_nothing_of_the_caller_s_is_changed(small):
    network, steps = small().network, plan(CURVE, "x0", "ddpm", "time", 3)
    state = torch.get_rng_state()
    running = sample(network.requires_grad_(True), steps, torch.zeros(1, 3, 16, 16), seeds(1))
    for made, _ in running:
        assert torch.is_grad_enabled()
        assert not made.requires_grad
    assert torch.equal(torch.get_rng_state(), state)


def test_samples_are_float32_whatever_the_caller_s_default_is(small):
    network = small().network
    torch.set_default_dtype(torch.float64)
    try:
        made = last(network, plan(CURVE, "x0", "ddpm", "time", 3), torch.zeros(1, 3, 16, 16).float(), seeds(1))
    finally:
        torch.set_default_dtype(torch.float32)
    assert made.dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_gpu_gives_what_its_noise_leads_to_on_the_cpu(sampler, small, monkeypatch):
    network, steps = small().network, plan(CURVE, "x0", sampler, "log-snr", 8)
    condition = torch.zeros(2, 3, 16, 16)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        made = last(network.cuda(), steps, condition.cuda(), seeds(1, 2).cuda())
    monkeypatch.setattr("fastsr.sr3.sampling.diffuse", _with_the_noise_of_gpus(diffuse))
    monkeypatch.setattr("fastsr.sr3.sampling.reverse_step", _with_the_noise_of_gpus(reverse_step))
    assert (made.cpu() - last(network.cpu(), steps, condition, seeds(1, 2))).abs().max() < 1e-3


def _with_the_noise_of_gpus(op):
    return lambda *arguments: op(*arguments, impl="torch")
