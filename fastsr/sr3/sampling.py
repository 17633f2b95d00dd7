"""How SR3 samples: from noise to an image, in the steps of a plan.

The file has four parts, each of which uses only those before it:

1. Timesteps. A spacing chooses the noise levels gamma at which the network is evaluated, from pure noise to the image.
2. Samplers. Each is one function that turns these levels into a table with four coefficients per step.
3. The plan. `plan` joins both with what the network predicts, into the six coefficients of each step.
4. The loop. `sample` evaluates the network at each level, and takes the step.

Every step has the same form, whichever the sampler (`fastsr_kernels.noise.reverse_step`):

    x0_pred = clamp(k0 x + k1 model_out, -1, 1)
    x_next = k2 x + k3 x0_pred + k4 x0_prev + k5 n

with x0_prev the x0_pred of the step before and n standard normal. k0 and k1 depend on what the network predicts, see
`fastsr.sr3.schedules.x0_coefficients`; k2 to k5 are the row of the sampler's table.

To add a sampler, write its table and enter it in `SAMPLERS`. To add a spacing, enter it in `SPACINGS`. The names are
those of the arguments `sampler` and `spacing` of `fastsr.sr3`, which need no other change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fastsr_kernels.noise import diffuse, reverse_step

from ..errors import NotFiniteError
from ..runtime.cuda_graph import Graphed
from .network import Network
from .schedules import x0_coefficients

# Timesteps. A spacing maps alphas_cumprod of the training, (T + 1,), and a number of steps to gammas, float64
# (steps + 1,): the level at which each step starts, in rising order, and 1 for the image at the end.

MAX_GAMMA = 0.9999
"""The largest gamma at which the network is evaluated: 1 percent of noise, on colours in [-1, 1], is invisible."""
KARRAS_RHO = 7.0
"""The exponent rho of the paper."""


def uniform_time(alphas_cumprod: Tensor, steps: int) -> Tensor:
    """Space the steps uniformly in t, from T to 1; T steps are the steps of the training."""
    times = torch.linspace(len(alphas_cumprod) - 1, 1, steps, dtype=alphas_cumprod.dtype, device=alphas_cumprod.device)
    lower = times.floor().long().clamp(max=len(alphas_cumprod) - 2)
    return _append_one(torch.lerp(alphas_cumprod[lower], alphas_cumprod[lower + 1], times - lower))


def uniform_log_snr(alphas_cumprod: Tensor, steps: int) -> Tensor:
    """Space the steps uniformly in the log-SNR, log(gamma / (1 - gamma))."""
    first, last = (torch.logit(gamma) for gamma in _range_of(alphas_cumprod))
    return _append_one(torch.sigmoid(_linspace(first, last, steps)))


def karras(alphas_cumprod: Tensor, steps: int) -> Tensor:
    """Space the steps uniformly in sigma^(1/7), where sigma^2 = (1 - gamma) / gamma.

    Karras et al., "Elucidating the design space of diffusion-based generative models" (arXiv 2206.00364), equation 5.
    """
    first, last = (((1 - gamma) / gamma) ** (0.5 / KARRAS_RHO) for gamma in _range_of(alphas_cumprod))
    return _append_one(1 / (1 + _linspace(first, last, steps) ** (2 * KARRAS_RHO)))


SPACINGS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "log-snr": uniform_log_snr,
    "time": uniform_time,
    "karras": karras,
}


def _range_of(alphas_cumprod: Tensor) -> tuple[Tensor, Tensor]:
    """Return gamma of the first step, the noisiest, and of the last one, the clearest."""
    return alphas_cumprod[-1], alphas_cumprod[1].clamp(max=MAX_GAMMA)


def _linspace(first: Tensor, last: Tensor, steps: int) -> Tensor:
    return torch.lerp(first, last, torch.linspace(0, 1, steps, dtype=first.dtype, device=first.device))


def _append_one(gammas: Tensor) -> Tensor:
    return torch.cat([gammas, gammas.new_ones(1)])


# Samplers. A table maps gammas, (steps + 1,), to the coefficients k2 to k5 of each step, float64 (steps, 4): of x,
# x0_pred, x0_prev and n. `now` is gamma at the start of a step, `after` gamma at its end.


def ddpm(gammas: Tensor) -> Tensor:
    """Return the table of ancestral sampling: each step draws from the posterior q(x_next | x, x0_pred).

    Ho et al., "Denoising diffusion probabilistic models" (arXiv 2006.11239), equation 7.
    """
    now, after = gammas[:-1], gammas[1:]
    alpha = now / after
    beta = 1 - alpha
    x = alpha.sqrt() * (1 - after) / (1 - now)
    x0 = after.sqrt() * beta / (1 - now)
    noise = (beta * (1 - after) / (1 - now)).sqrt()
    return torch.stack([x, x0, torch.zeros_like(x), noise], 1)


def ddim(gammas: Tensor) -> Tensor:
    """Return the table of DDIM: x_next has the same noise as x, and no new noise is drawn.

    Song et al., "Denoising diffusion implicit models" (arXiv 2010.02502), equation 12 with sigma 0.
    """
    now, after = gammas[:-1], gammas[1:]
    x = ((1 - after) / (1 - now)).sqrt()
    x0 = after.sqrt() - now.sqrt() * x
    return torch.stack([x, x0, torch.zeros_like(x), torch.zeros_like(x)], 1)


def dpm_solver(gammas: Tensor) -> Tensor:
    """Return the table of DPM-Solver++(2M): `ddim` with an x0 that is extrapolated from x0_pred and x0_prev.

    Lu et al., "DPM-Solver++" (arXiv 2211.01095), algorithm 2. The first step has no x0_prev, and the last one, to
    gamma 1, takes x0_pred as it is.
    """
    table = ddim(gammas)
    half_log_snr = torch.logit(gammas[:-1]) / 2
    lengths = half_log_snr.diff()  # of all steps but the last one
    extrapolation = table[1:-1, 1] * lengths[1:] / (2 * lengths[:-1])
    table[1:-1, 1] += extrapolation
    table[1:-1, 2] -= extrapolation
    return table


@dataclass(frozen=True)
class Sampler:
    """A sampler.

    Attributes:
        table: returns the coefficients of the steps, as described above.
        spacing: name of its default spacing, a key of `SPACINGS`.
        min_steps: smallest number of steps in which it makes an image.
    """

    table: Callable[[Tensor], Tensor]
    spacing: str
    min_steps: int


SAMPLERS = {
    "dpm-solver++": Sampler(dpm_solver, "log-snr", 2),
    "ddim": Sampler(ddim, "log-snr", 1),
    "ddpm": Sampler(ddpm, "time", 2),
}


# The plan.


@dataclass(frozen=True, eq=False)
class SamplerPlan:
    """The steps of a sampler for one network.

    Attributes:
        gammas: gamma at which the network is evaluated in each step, float64 (steps,).
        coefficients: k0 to k5 of each step, as `fastsr_kernels.noise.reverse_step` takes them, float64 (steps, 6).
    """

    gammas: Tensor
    coefficients: Tensor

    @property
    def steps(self) -> int:
        """The number of steps."""
        return len(self.gammas)


def plan(alphas_cumprod: Tensor, prediction: str, sampler: str, spacing: str, steps: int) -> SamplerPlan:
    """Return the steps of a sampler on the noise schedule that a network was trained with.

    Args:
        alphas_cumprod: noise schedule of the training, float64 (T + 1,), see `fastsr.sr3.schedules`.
        prediction: what the network predicts, one of `fastsr.sr3.schedules.PREDICTIONS`.
        sampler: key of `SAMPLERS`.
        spacing: key of `SPACINGS`.
        steps: number of steps, at least the sampler's ``min_steps``.
    """
    gammas = SPACINGS[spacing](alphas_cumprod, steps)
    to_x0 = torch.stack(x0_coefficients(prediction, gammas[:-1]), 1)
    return SamplerPlan(gammas[:-1], torch.cat([to_x0, SAMPLERS[sampler].table(gammas)], 1))


# The loop.

INITIAL_NOISE = 0
"""The noise that sampling starts from has this number in the random stream of a seed; that of step k has number k."""


@dataclass
class State:
    """The state of sampling after a step.

    Attributes:
        step: number of steps done.
        steps: total number of steps.
        level: sqrt(gamma) at the start of the step, the weight of the image in `noisy`.
        noisy: x at the start of the step, (N, 3, H, W) float32: level x0 + sqrt(1 - level^2) n, with x0 in [-1, 1].
        first: index of the first of these rows among all samples of all images of a list or batch, from 0.
    """

    step: int
    steps: int
    level: float
    noisy: Tensor
    first: int = 0


@torch.no_grad()
def sample(network: Network, plan: SamplerPlan, condition: Tensor, seeds: Tensor) -> Iterator[tuple[Tensor, State]]:
    """Yield x0_pred after each step; that of the last step is the sample.

    On a GPU, a step is captured as one CUDA graph.

    Args:
        network: predicts noise, v or x0, see `fastsr.sr3.network.UNet.forward`.
        plan: steps of the sampler, made for what the network predicts.
        condition: upscaled low-resolution images, (N, 3, H, W) in [-1, 1], float32, on the device.
        seeds: seed of each sample, (N,), int64, on the device. A sample depends on its seed, but not on its batch.

    Yields:
        x0_pred, (N, 3, H, W) in [-1, 1], float32, which later steps overwrite, and a `State`.

    Raises:
        NotFiniteError: the output of the network is not finite; raised after that step on a CPU, and after the last
            step on a GPU.
    """
    step = _Step(network, plan, condition, seeds)
    on_gpu = condition.device.type == "cuda"
    advance = Graphed(step.advance, condition.device) if on_gpu else step.advance
    for number in range(plan.steps):
        advance()
        if not on_gpu or number == plan.steps - 1:  # the check waits for the device, so a GPU does it only once
            step.check_finite()
        yield step.x0_pred, State(number + 1, plan.steps, plan.gammas[number].sqrt().item(), step.x_before)


class _Step:
    """One step of sampling, on tensors that stay in place: a CUDA graph can replay it.

    Attributes:
        x_before: x at the start of the last step, (N, 3, H, W).
        x0_pred: x0_pred of the last step, (N, 3, H, W).
    """

    def __init__(self, network: Network, plan: SamplerPlan, condition: Tensor, seeds: Tensor):
        device, count = condition.device, len(condition)
        self._network, self._condition, self._seeds, self._steps = network, condition, seeds, plan.steps
        self._levels = plan.gammas.sqrt().float().to(device)
        self._coefficients = plan.coefficients.float().to(device)
        zeros, ones = (torch.full((count,), value, dtype=torch.float32, device=device) for value in (0, 1))
        self._x = diffuse(torch.zeros_like(condition), zeros, ones, seeds, INITIAL_NOISE)
        self.x_before = torch.empty_like(self._x)
        self.x0_pred = torch.zeros_like(self._x)
        self._steps_done = torch.zeros(1, dtype=torch.int64, device=device)
        self._first_bad_step = torch.zeros(1, dtype=torch.int64, device=device)  # 0 while all outputs are finite

    def advance(self) -> None:
        """Evaluate the network, and take the step."""
        level = self._levels.index_select(0, self._steps_done).expand(len(self._x))
        coefficients = self._coefficients.index_select(0, self._steps_done)[0]
        model_out = self._network(self._condition, self._x, level)
        self._steps_done += 1
        bad = (self._first_bad_step == 0) & ~model_out.isfinite().all()
        torch.where(bad, self._steps_done, self._first_bad_step, out=self._first_bad_step)
        self.x_before.copy_(self._x)
        x, x0_pred = reverse_step(self._x, model_out, self.x0_pred, coefficients, self._seeds, self._steps_done)
        self._x.copy_(x)
        self.x0_pred.copy_(x0_pred)

    def check_finite(self) -> None:
        """Raise `NotFiniteError` if the network output was not finite in some step."""
        step = int(self._first_bad_step)
        if step:
            raise NotFiniteError(
                f"the network output is not finite (NaN or inf) at step {step} of {self._steps}; the weights may come "
                "from a failed training run"
            )
