"""The search of PULSE (Menon et al., arXiv 2003.03808): latents whose image, downscaled, is the image given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, optim

from fastsr_kernels.backend import no_autocast

from ..errors import NotFiniteError
from ..runtime.cuda_graph import Graphed
from ..runtime.device import deterministic_convolutions
from ..runtime.memory import freed_memory_kept
from ..stylegan.generator import Generator
from ..stylegan.latents import GaussianFit
from .losses import LossWeights, l2, total
from .targets import LatentInit, Target

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(optim.Adam, fused=True),
    "adamw": partial(optim.AdamW, fused=True),
    "adamax": optim.Adamax,
    "sgd": partial(optim.SGD, fused=True),
}
TINY = 1e-12
"""A row of zeros stays one."""


class SphericalOptimizer:
    """An optimiser of `OPTIMIZERS` over tensors (N, rows, ...), each row of which keeps its length.

    Every number is updated by its own gradient, so that no image of a batch depends on another. A step can be
    captured in a CUDA graph.
    """

    def __init__(self, optimizer: str, parameters: Sequence[Tensor], learning_rate: Tensor):
        """Take the name of the optimiser, the tensors, and the learning rate, which is read at each step."""
        capturable: dict[str, Any] = {}
        if learning_rate.is_cuda and optimizer != "sgd":
            capturable["capturable"] = True
        self._parameters = list(parameters)
        self._radii = [_lengths(parameter).clone() for parameter in parameters]
        self._inner = OPTIMIZERS[optimizer](self._parameters, lr=learning_rate, **capturable)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Update the tensors by their gradients."""
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        self._inner.step()
        for parameter, radius in zip(self._parameters, self._radii, strict=True):
            parameter.mul_(radius / _lengths(parameter).clamp(min=TINY))


def _lengths(x: Tensor) -> Tensor:
    """Return the length of each row, (N, rows, 1, ...)."""
    return x.detach().flatten(2).norm(dim=2).view(*x.shape[:2], *(1,) * (x.ndim - 2))


SCHEDULES = {
    "fixed": ((0.0, 1.0), (1.0, 1.0)),
    "linear1cycle": ((0.0, 0.1), (0.5, 1.0), (1.0, 0.1)),
    "linear1cycledrop": ((0.0, 0.1), (0.45, 1.0), (0.9, 0.1), (1.0, 0.001)),
}
"""The part of the steps that is done, and the factor there; between them it changes evenly."""


def factors(schedule: str, steps: int) -> Tensor:
    """Return the factor of each step, float32 (steps,).

    Args:
        schedule: a name of `SCHEDULES`; "linear1cycledrop" is that of PULSE.
        steps: how many there will be.
    """
    anchors = SCHEDULES[schedule]
    done = torch.arange(steps, dtype=torch.float64, device="cpu") / steps
    result = torch.full_like(done, anchors[0][1])
    for (begin, first), (end, last) in pairwise(anchors):
        result = torch.where(done >= begin, first + (last - first) * (done - begin) / (end - begin), result)
    return result.float()


STEPS_BETWEEN_LOOKS = 10
"""At figures on a GPU, which stops for it."""


@dataclass(frozen=True)
class Settings:
    """How to search; see `fastsr.pulse`.

    Attributes:
        steps: at most.
        eps: the mean squared error at which an image is found.
        optimizer: a name of `fastsr.pulse.search.OPTIMIZERS`.
        learning_rate: its largest.
        schedule: a name of `fastsr.pulse.search.SCHEDULES`.
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
    """The best that searches for P images have come to; all on the device, and updated in place.

    The first iterate at or below eps is the best for good, of several in one step that with the least loss. Before,
    it is that with the least mean squared error.

    Attributes:
        image: (P, C, resolution, resolution) in [0, 1], float32.
        l2: mean squared error of its downscale, (P,).
        loss: (P,).
        reached: whether `l2` is at most eps, (P,).
        step: at which it was, from 1, int64 (P,).
        start: from which of the image's starts it came, int64 (P,).
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
    def empty(cls, count: int, goal: Target, start: LatentInit) -> Best:
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
    """Where the search for some images stands. Reading the tensors waits for a GPU.

    Attributes:
        step: steps done.
        steps: at most.
        best: see `Best`.
        first: number of the first of these images among all of a list or batch, from 0.
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


def search(
    generator: Generator, fit: GaussianFit, goal: Target, start: LatentInit, settings: Settings
) -> Iterator[State]:
    """Search for each image from several starts; yield the state after every step.

    Ends early where a start of each image has reached eps. On a GPU a step is one CUDA graph.

    Args:
        generator: on the device, without parameters that require gradients.
        fit: on the device.
        goal: P images, on the device.
        start: R of them, on the device; each image is searched for from all.
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
    def __init__(self, generator: Generator, fit: GaussianFit, goal: Target, start: LatentInit, settings: Settings):
        """Arguments are those of `search`."""
        device, images, starts = goal.pixels.device, len(goal.pixels), len(start.z)
        self._generator, self._settings = generator, settings
        self._goal = goal.repeated(starts, device)
        # New tensors, for the caller's may be those of inference mode.
        self._fit = GaussianFit(fit.mean.clone(), fit.std.clone())
        self._z = start.z.repeat(images, 1, 1)
        self._noises = [noise.repeat(images, 1, 1, 1) for noise in start.noises]
        self._parameters = [self._z, *self._noises[: start.trainable]]
        self._rates = (settings.learning_rate * factors(settings.schedule, settings.steps)).to(device)
        self._rate = self._rates[0].clone()
        self._optimizer = SphericalOptimizer(settings.optimizer, self._parameters, self._rate)
        for parameter in self._parameters:
            parameter.requires_grad_(True)
        self._number = torch.zeros(1, dtype=torch.int64, device=device)
        self._broken = torch.zeros(1, dtype=torch.int64, device=device)
        self._first_rows = starts * torch.arange(images, device=device)
        self._shape = images, starts
        self.best = Best.empty(images, goal, start)

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
        """Take note of the images, one for each start of each picture."""
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
