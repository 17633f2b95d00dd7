"""Sampling: pictures out of noise, step by step, as the plan of a sampler has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fastsr_kernels.noise import diffuse, reverse_step

from ..errors import NotFiniteError
from ..graph import Graphed
from .plans import Plan
from .tiles import Network

START = 0
"""The number of the noise that sampling begins with; that of a step is its own, from 1."""


@dataclass
class State:
    """Where sampling stands.

    Attributes:
        step: steps done.
        steps: of the sampler.
        level: sqrt(gamma), the part of the picture in `noisy`.
        noisy: what the step began with, (N, 3, H, W) float32: level x0 + sqrt(1 - level^2) n, x0 in [-1, 1].
        first: number of the first of these pictures among all samples of all pictures of a list or batch, from 0.
    """

    step: int
    steps: int
    level: float
    noisy: Tensor
    first: int = 0


@torch.no_grad()
def sample(network: Network, plan: Plan, condition: Tensor, seeds: Tensor) -> Iterator[tuple[Tensor, State]]:
    """Yield after each step the pictures that the network sees; those of the last step are the samples.

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

    def __init__(self, network: Network, plan: Plan, condition: Tensor, seeds: Tensor):
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
