"""The search of PULSE (Menon et al., arXiv 2003.03808): latents whose picture, downscaled, is the picture given."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from fastsr_kernels.backend import no_autocast

from ..allocation import freed_memory_kept
from ..device import deterministic_convolutions
from ..errors import NotFiniteError
from ..graph import Graphed
from .gaussian_fit import GaussianFit
from .generator import Generator
from .goals import Goal
from .learning_rates import factors
from .losses import LossWeights, l2, total
from .spherical import Spherical
from .starts import Start

STEPS_BETWEEN_LOOKS = 10
"""At figures on a GPU, which stops for it."""


@dataclass(frozen=True)
class Settings:
    """How to search; see `fastsr.pulse`.

    Attributes:
        steps: at most.
        eps: the mean squared error at which a picture is found.
        optimizer: a name of `fastsr.pulse.spherical.OPTIMIZERS`.
        learning_rate: its largest.
        schedule: a name of `fastsr.pulse.learning_rates.SCHEDULES`.
        loss: the terms.
    """

    steps: int
    eps: float
    optimizer: str
    learning_rate: float
    schedule: str
    loss: LossWeights


@dataclass(frozen=True, eq=False)
class Best:
    """The best that searches for P pictures have come to; all on the device, and updated in place.

    The first iterate at or below eps is the best for good, of several in one step that with the least loss. Before,
    it is that with the least mean squared error.

    Attributes:
        image: (P, C, resolution, resolution) in [0, 1], float32.
        l2: mean squared error of its downscale, (P,).
        loss: (P,).
        reached: whether `l2` is at most eps, (P,).
        step: at which it was, from 1, int64 (P,).
        start: from which of the picture's starts it came, int64 (P,).
        z: (P, rows, latent).
        noises: the trainable maps, (P, 1, side, side) each.
    """

    image: Tensor
    l2: Tensor
    loss: Tensor
    reached: Tensor
    step: Tensor
    start: Tensor
    z: Tensor
    noises: list[Tensor]

    @classmethod
    def empty(cls, count: int, goal: Goal, start: Start) -> Best:
        """Return what it is before the first step, for so many pictures."""
        x = goal.pixels

        def nothing(shape: torch.Size) -> Tensor:
            return x.new_zeros(count, *shape)

        number = torch.zeros(count, dtype=torch.int64, device=x.device)
        return cls(
            nothing(torch.Size((x.shape[1], goal.resolution, goal.resolution))),
            x.new_full((count,), math.inf),
            x.new_full((count,), math.inf),
            torch.zeros(count, dtype=torch.bool, device=x.device),
            number,
            number.clone(),
            nothing(start.z.shape[1:]),
            [nothing(noise.shape[1:]) for noise in start.noises[: start.trainable]],
        )


@dataclass
class State:
    """Where the search for some pictures stands. Reading the tensors waits for a GPU.

    Attributes:
        step: steps done.
        steps: at most.
        best: see `Best`.
        first: number of the first of these pictures among all of a list or batch, from 0.
    """

    step: int
    steps: int
    best: Best
    first: int = 0

    @property
    def l2(self) -> Tensor:
        """The least mean squared error so far, of each picture."""
        return self.best.l2

    @property
    def reached(self) -> Tensor:
        """Whether eps has been reached, for each picture."""
        return self.best.reached


def search(generator: Generator, fit: GaussianFit, goal: Goal, start: Start, settings: Settings) -> Iterator[State]:
    """Search for each picture from several starts; yield the state after every step.

    Ends early where a start of each picture has reached eps. On a GPU a step is one CUDA graph.

    Args:
        generator: on the device, without parameters that require gradients.
        fit: on the device.
        goal: P pictures, on the device.
        start: R of them, on the device; each picture is searched for from all.
        settings: see `Settings`.

    Raises:
        NotFiniteError: after the step; on a GPU up to 10 steps later.
    """
    device = goal.pixels.device
    on_gpu = device.type == "cuda"
    step = Step(generator, fit, goal, start, settings)
    run = Graphed(step, device) if on_gpu else step
    with nullcontext() if on_gpu else freed_memory_kept():
        for number in range(1, settings.steps + 1):
            run()
            look = not on_gpu or number % STEPS_BETWEEN_LOOKS == 0 or number == settings.steps
            if look:
                step.check()
            yield State(number, settings.steps, step.best)
            if look and bool(step.best.reached.all()):
                return


class Step:
    """One step of a search, a function of nothing: all that changes from step to step lies in tensors on the device.

    Attributes:
        best: so far.
    """

    @torch.inference_mode(False)
    def __init__(self, generator: Generator, fit: GaussianFit, goal: Goal, start: Start, settings: Settings):
        """Arguments are those of `search`."""
        device, pictures, starts = goal.pixels.device, len(goal.pixels), len(start.z)
        self._generator, self._settings = generator, settings
        self._goal = goal.repeated(starts, device)
        # New tensors, for the caller's may be those of inference mode.
        self._fit = GaussianFit(fit.mean.clone(), fit.std.clone())
        self._z = start.z.repeat(pictures, 1, 1)
        self._noises = [noise.repeat(pictures, 1, 1, 1) for noise in start.noises]
        self._parameters = [self._z, *self._noises[: start.trainable]]
        self._rates = (settings.learning_rate * factors(settings.schedule, settings.steps)).to(device)
        self._rate = self._rates[0].clone()
        self._optimizer = Spherical(settings.optimizer, self._parameters, self._rate)
        for parameter in self._parameters:
            parameter.requires_grad_(True)
        self._number = torch.zeros(1, dtype=torch.int64, device=device)
        self._broken = torch.zeros(1, dtype=torch.int64, device=device)
        self._first_rows = starts * torch.arange(pictures, device=device)
        self._shape = pictures, starts
        self.best = Best.empty(pictures, goal, start)

    def __call__(self) -> None:
        """Do the step."""
        device = self._z.device
        with torch.inference_mode(False), torch.enable_grad(), deterministic_convolutions(), no_autocast(device):
            self._do()

    def _do(self) -> None:
        settings = self._settings
        latents = self._fit.latents(self._z)
        rows = latents.expand(-1, self._generator.layers, -1)
        colours = self._goal.colours(self._generator(rows, self._noises))
        difference = self._goal.difference(colours)
        distance = l2(difference)
        loss = total(settings.loss, distance, difference, latents, settings.eps)
        # A generator may do without its noise.
        gradients = torch.autograd.grad(loss.sum(), self._parameters, allow_unused=True, materialize_grads=True)
        self._number += 1
        self._keep(colours.detach(), distance.detach(), loss.detach())
        self._rate.copy_(self._rates.index_select(0, self._number - 1)[0])
        self._optimizer.step(gradients)

    @torch.no_grad()
    def _keep(self, colours: Tensor, distance: Tensor, loss: Tensor) -> None:
        """Take note of the pictures, one for each start of each picture."""
        best = self.best
        finite = (distance.isfinite() & loss.isfinite()).view(self._shape)
        distances, losses = (x.view(self._shape).masked_fill(~finite, math.inf) for x in (distance, loss))
        hit = distances <= self._settings.eps
        now_reached = hit.any(1)
        start = torch.where(now_reached[:, None], losses.masked_fill(~hit, math.inf), distances).argmin(1)
        rows = self._first_rows + start
        better = ~best.reached & (now_reached | (distances.amin(1) < best.l2))
        found = (
            (best.image, colours),
            (best.l2, distance),
            (best.loss, loss),
            (best.z, self._z),
            *zip(best.noises, self._parameters[1:], strict=True),
        )
        for kept, made in found:
            taken = better.view(-1, *(1,) * (made.ndim - 1))
            kept.copy_(torch.where(taken, made.index_select(0, rows), kept))
        best.start.copy_(torch.where(better, start, best.start))
        best.step.copy_(torch.where(better, self._number, best.step))
        broken = (~finite.all(1) & ~best.reached).any() & (self._broken == 0)
        self._broken.copy_(torch.where(broken, self._number, self._broken))
        best.reached.logical_or_(now_reached)

    def check(self) -> None:
        """Raise `NotFiniteError` where a step was broken."""
        step = int(self._broken)
        if step:
            raise NotFiniteError(
                f"the loss in step {step} of {self._settings.steps} is not finite; give a lower learning_rate, or "
                "other weights, for their training may have failed"
            )
