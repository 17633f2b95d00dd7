"""Sampling: images out of noise, step by step, as the plan of a sampler has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fastsr_kernels.noise import diffuse, reverse_step

from ..errors import NotFiniteError
from ..runtime.cuda_graph import Graphed
from .network import Network
from .schedules import seen


def ddpm(gammas: Tensor) -> Tensor:
    """Ancestral sampling: each step draws from the posterior of the step's noise.

    Ho et al., "Denoising diffusion probabilistic models" (arXiv 2006.11239), equation 7.
    """
    now, then = gammas[:-1], gammas[1:]
    alpha = now / then
    beta = 1 - alpha
    x = alpha.sqrt() * (1 - then) / (1 - now)
    x0 = then.sqrt() * beta / (1 - now)
    noise = (beta * (1 - then) / (1 - now)).sqrt()
    return torch.stack([x, x0, torch.zeros_like(x), noise], 1)


def ddim(gammas: Tensor) -> Tensor:
    """The noise seen stays and the image seen is brought forward: no noise is drawn.

    Song et al., "Denoising diffusion implicit models" (arXiv 2010.02502), equation 12 with sigma 0.
    """
    now, then = gammas[:-1], gammas[1:]
    x = ((1 - then) / (1 - now)).sqrt()
    x0 = then.sqrt() - now.sqrt() * x
    return torch.stack([x, x0, torch.zeros_like(x), torch.zeros_like(x)], 1)


def dpm_solver(gammas: Tensor) -> Tensor:
    """DPM-Solver++(2M): as `ddim`, of an image that is extrapolated from the last two seen.

    Lu et al., "DPM-Solver++" (arXiv 2211.01095), algorithm 2. The first step has seen one image, and the last one,
    to gamma 1, takes what is seen.
    """
    table = ddim(gammas)
    half_log_snr = torch.logit(gammas[:-1]) / 2
    lengths = half_log_snr.diff()  # of all steps but the last one
    more = table[1:-1, 1] * lengths[1:] / (2 * lengths[:-1])
    table[1:-1, 1] += more
    table[1:-1, 2] -= more
    return table


@dataclass(frozen=True)
class Sampler:
    """A sampler by name.

    Attributes:
        table: see the module.
        spacing: that suits it, by name, see `spacings`.
        least: the fewest steps in which it makes a picture.
    """

    table: Callable[[Tensor], Tensor]
    spacing: str
    least: int


SAMPLERS = {
    "dpm-solver++": Sampler(dpm_solver, "log-snr", 2),
    "ddim": Sampler(ddim, "log-snr", 1),
    "ddpm": Sampler(ddpm, "time", 2),
}


CLEAREST = 0.9999
"""The largest gamma at which the network is asked: noise of 1 percent, on colours from -1 to 1, cannot be seen."""
RHO = 7.0


def uniform_time(curve: Tensor, steps: int) -> Tensor:
    """Steps of one length in t, from T to 1; T steps are those of the training."""
    times = torch.linspace(len(curve) - 1, 1, steps, dtype=curve.dtype, device=curve.device)
    before = times.floor().long().clamp(max=len(curve) - 2)
    return _append_one(torch.lerp(curve[before], curve[before + 1], times - before))


def uniform_log_snr(curve: Tensor, steps: int) -> Tensor:
    """Steps of one length in log(gamma / (1 - gamma))."""
    first, last = torch.logit(_noisiest(curve)), torch.logit(_clearest(curve))
    return _append_one(torch.sigmoid(_line(first, last, steps)))


def karras(curve: Tensor, steps: int) -> Tensor:
    """Steps of one length in sigma^(1/7), sigma^2 = (1 - gamma) / gamma.

    Karras et al., "Elucidating the design space of diffusion-based generative models" (arXiv 2206.00364), equation 5.
    """
    first, last = (((1 - gamma) / gamma) ** (0.5 / RHO) for gamma in (_noisiest(curve), _clearest(curve)))
    return _append_one(1 / (1 + _line(first, last, steps) ** (2 * RHO)))


SPACINGS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "log-snr": uniform_log_snr,
    "time": uniform_time,
    "karras": karras,
}


def _noisiest(curve: Tensor) -> Tensor:
    return curve[-1]


def _clearest(curve: Tensor) -> Tensor:
    return curve[1].clamp(max=CLEAREST)


def _line(first: Tensor, last: Tensor, steps: int) -> Tensor:
    return torch.lerp(first, last, torch.linspace(0, 1, steps, dtype=first.dtype, device=first.device))


def _append_one(gammas: Tensor) -> Tensor:
    return torch.cat([gammas, gammas.new_ones(1)])


@dataclass(frozen=True, eq=False)
class SamplerPlan:
    """The steps of a sampler.

    Attributes:
        gammas: at which the network is asked, float64 (steps,).
        coefficients: of each step, as `fastsr_kernels.noise.reverse_step` takes them, float64 (steps, 6).
    """

    gammas: Tensor
    coefficients: Tensor

    @property
    def steps(self) -> int:
        """How many there are."""
        return len(self.gammas)


def plan(curve: Tensor, prediction: str, sampler: str, spacing: str, steps: int) -> SamplerPlan:
    """Return the steps of a sampler on the noise curve that a network was trained on.

    Args:
        curve: see `schedules`.
        prediction: of the network, see `predictions`.
        sampler: a name of `SAMPLERS`.
        spacing: a name of `SPACINGS`.
        steps: at least the sampler's ``least``.
    """
    gammas = SPACINGS[spacing](curve, steps)
    asked = gammas[:-1]
    sees = torch.stack(seen(prediction, asked), 1)
    return SamplerPlan(asked, torch.cat([sees, SAMPLERS[sampler].table(gammas)], 1))


START = 0
"""The number of the noise that sampling begins with; that of a step is its own, from 1."""


@dataclass
class State:
    """Where sampling stands.

    Attributes:
        step: steps done.
        steps: of the sampler.
        level: sqrt(gamma), the part of the image in `noisy`.
        noisy: what the step began with, (N, 3, H, W) float32: level x0 + sqrt(1 - level^2) n, x0 in [-1, 1].
        first: number of the first of these images among all samples of all images of a list or batch, from 0.
    """

    step: int
    steps: int
    level: float
    noisy: Tensor
    first: int = 0


@torch.no_grad()
def sample(network: Network, plan: SamplerPlan, condition: Tensor, seeds: Tensor) -> Iterator[tuple[Tensor, State]]:
    """Yield after each step the images that the network sees; those of the last step are the samples.

    On a GPU a step is one CUDA graph.

    Args:
        network: see `Network`.
        plan: of the sampler.
        condition: (N, 3, H, W) in [-1, 1], float32, on the device.
        seeds: (N,), int64, on the device. Sample and noise depend on the seed and not on the batch they are in.

    Yields:
        (N, 3, H, W) in [-1, 1], float32, which later steps overwrite, and a `State`.

    Raises:
        NotFiniteError: after the last step on a GPU, after the step on a CPU.
    """
    steps = _Steps(network, plan, condition, seeds)
    on_gpu = condition.device.type == "cuda"
    advance = Graphed(steps.advance, condition.device) if on_gpu else steps.advance
    for number in range(plan.steps):
        advance()
        if not on_gpu or number == plan.steps - 1:  # where it would wait for the device, only once
            steps.check()
        yield steps.seen, State(number + 1, plan.steps, plan.gammas[number].sqrt().item(), steps.before)


class _Steps:
    """The tensors of a step, which reads and writes the same memory every time."""

    def __init__(self, network: Network, plan: SamplerPlan, condition: Tensor, seeds: Tensor):
        device, count = condition.device, len(condition)
        self._network, self._condition, self._seeds, self._steps = network, condition, seeds, plan.steps
        self._levels = plan.gammas.sqrt().float().to(device)
        self._coefficients = plan.coefficients.float().to(device)
        nothing, all_noise = (torch.full((count,), part, dtype=torch.float32, device=device) for part in (0, 1))
        self._noisy = diffuse(torch.zeros_like(condition), nothing, all_noise, seeds, START)
        self.before = torch.empty_like(self._noisy)
        self.seen = torch.zeros_like(self._noisy)
        self._done = torch.zeros(1, dtype=torch.int64, device=device)
        self._broken = torch.zeros(1, dtype=torch.int64, device=device)

    def advance(self) -> None:
        """Do a step."""
        level = self._levels.index_select(0, self._done).expand(len(self._noisy))
        coefficients = self._coefficients.index_select(0, self._done)[0]
        said = self._network(self._condition, self._noisy, level)
        self._done += 1
        broken = (self._broken == 0) & ~said.isfinite().all()
        torch.where(broken, self._done, self._broken, out=self._broken)
        self.before.copy_(self._noisy)
        noisy, seen = reverse_step(self._noisy, said, self.seen, coefficients, self._seeds, self._done)
        self._noisy.copy_(noisy)
        self.seen.copy_(seen)

    def check(self) -> None:
        """Raise `NotFiniteError` where a step was broken."""
        step = int(self._broken)
        if step:
            raise NotFiniteError(
                f"what the network says in step {step} of {self._steps} is not finite; its training may have failed"
            )
