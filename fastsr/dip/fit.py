"""The loop of Deep Image Prior: fit an hourglass to one observation through a linear operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fastsr_kernels.backend import no_autocast
from fastsr_kernels.noise import add_noise

from ..allocation import freed_memory_kept
from ..device import default_float32, deterministic_convolutions
from ..graph import Graphed
from .network import Hourglass
from .optimizers import Muon
from .recipes import Recipe
from .stopping import Stopping
from .weights import Weights

INPUT_RANGE = 0.1
STEPS_BETWEEN_LOOKS = 10
"""At a figure on the device, for which a GPU stops."""
GREATEST_LOSS_OF_PSNR = 5.0


@dataclass
class State:
    """Where a fit stands.

    Attributes:
        step: optimiser steps done.
        image: what the fit gives if it ends here, (1, C, H, W) float32 in [0, 1]: the running average of the outputs,
            or with a `Stopping` its best; updated in place.
        loss: mean squared error between the operator's view of the last output and the observation; likewise.
        picture: number of the picture in a list or batch, from 0.
    """

    step: int
    image: Tensor
    loss: Tensor
    picture: int = 0

    @property
    def psnr(self) -> float:
        """PSNR in dB of the last output against the observation; reading it waits for the device."""
        return -10 * math.log10(max(self.loss.item(), 1e-12))


def fit(
    observation: Tensor,
    operator: Callable[[Tensor], Tensor],
    size: tuple[int, int],
    recipe: Recipe,
    *,
    seed: int,
    dtype: torch.dtype,
    observed: float = 1.0,
    stopping: Stopping | None = None,
) -> Iterator[State]:
    """Fit a network whose output x minimises ||operator(x) - observation||^2; yield the state after every step.

    On a GPU the steps are replays of one CUDA graph, and nothing waits for them but who reads the state.

    Args:
        observation: (1, C, h, w) float32 in [0, 1], on the device to work on.
        operator: differentiable map from a picture (1, C, H, W) to the observation's shape.
        size: (H, W) of the picture.
        recipe: network, optimiser and steps.
        seed: names the weights, the input and the noise.
        dtype: precision of activations; weights and the loss are float32.
        observed: the part of the observation that is known, where the operator is 0 in the rest; the loss is the mean
            over it.
        stopping: what may end the fit before the recipe's last step.
    """
    step = Step(observation, operator, size, recipe, seed=seed, dtype=dtype, observed=observed, stopping=stopping)
    run = Graphed(step, observation.device) if observation.is_cuda else step
    image = step.image if stopping is None else stopping.image
    with nullcontext() if observation.is_cuda else freed_memory_kept():
        for number in range(1, recipe.steps + 1):
            look = recipe.guarded and number % STEPS_BETWEEN_LOOKS == 0
            if look:
                step.remember()
            run()
            if look:
                step.look()
            yield State(number, image, step.loss)
            if stopping is not None and number % STEPS_BETWEEN_LOOKS == 0 and stopping.finished():
                return


class Step:
    """One step of a fit, a function of nothing: all that changes from step to step lies in tensors on the device.

    Attributes:
        image: the running average of the outputs.
        loss: of the last output.
    """

    def __init__(
        self,
        observation: Tensor,
        operator: Callable[[Tensor], Tensor],
        size: tuple[int, int],
        recipe: Recipe,
        *,
        seed: int,
        dtype: torch.dtype,
        observed: float = 1.0,
        stopping: Stopping | None = None,
    ):
        """Arguments are those of `fit`."""
        device = observation.device
        self._observation, self._operator, self._recipe = observation, operator, recipe
        self._seed, self._dtype, self._observed, self._stopping = seed, dtype, observed, stopping
        generator = torch.Generator("cpu").manual_seed(seed)
        self._network = build(recipe, generator)
        self._weights = Weights(self._network, device)
        z = make_input(recipe, size, generator)
        self._z = z.to(device, dtype, memory_format=torch.channels_last)
        self._optimizers = make_optimizers(self._weights, recipe)
        self._number = torch.zeros((), dtype=torch.int64, device=device)
        self.image = observation.new_zeros(1, observation.shape[1], *size)
        self.loss = observation.new_zeros(())
        self._good: list[Tensor] | None = None
        self._remembered: list[Tensor] = []
        self._good_loss = math.inf
        if stopping is not None:
            stopping.begin(self.image)

    @property
    def _parameters(self) -> tuple[Tensor, Tensor]:
        return self._weights.matrices, self._weights.vectors

    def __call__(self) -> None:
        """Do the step."""
        with deterministic_convolutions(), no_autocast(self._z.device):
            self._do()

    def _do(self) -> None:
        noisy = add_noise(self._z, self._recipe.noise, seed=self._seed, step=self._number)
        self._weights.install(self._dtype)
        output = self._network(noisy)
        loss = F.mse_loss(self._operator(output), self._observation) / self._observed
        gradients = torch.autograd.grad(loss, self._parameters)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        factor = rate(self._recipe, self._number)
        for optimizer, learning_rate in self._optimizers:
            optimizer.param_groups[0]["lr"].copy_(learning_rate * factor)
            optimizer.step()
        self._number += 1
        # A plain mean until the window is full: the first, empty outputs would otherwise linger.
        share = (1 / self._number.float()).clamp_min(1 - self._recipe.average)
        self.image.lerp_(output.detach(), share)
        self.loss.copy_(loss.detach())
        if self._stopping is not None:
            self._stopping.watch(self._number, output.detach(), self.image, self.loss)

    def remember(self) -> None:
        """Keep the weights as they are before a step, whose loss is theirs."""
        self._remembered = [parameter.detach().clone() for parameter in self._parameters]

    def look(self) -> None:
        """After a step: return to the last good weights if its loss lost `GREATEST_LOSS_OF_PSNR` against theirs.

        Otherwise those remembered before it are the good ones. Adam with its constant rate is thrown back now and
        then, and would drag the average along.
        """
        loss = self.loss.item()
        if self._good is not None and loss > self._good_loss * 10 ** (GREATEST_LOSS_OF_PSNR / 10):
            with torch.no_grad():
                for parameter, good in zip(self._parameters, self._good, strict=True):
                    parameter.copy_(good)
        else:
            self._good, self._good_loss = self._remembered, loss


def build(recipe: Recipe, generator: torch.Generator) -> Hourglass:
    """Return the recipe's network with PyTorch's default initial weights, drawn from `generator` alone."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), default_float32():
        torch.manual_seed(int(torch.randint(2**63 - 1, (), generator=generator)))
        return Hourglass(recipe.network)


def make_input(recipe: Recipe, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Return the network's input, (1, input_channels, H, W): uniform noise, or the grid of x and y from 0 to 1."""
    if recipe.input == "grid":
        axes = [torch.linspace(0, 1, side, device="cpu", dtype=torch.float32) for side in size]
        rows, columns = torch.meshgrid(*axes, indexing="ij")
        return torch.stack([columns, rows])[None]
    shape = (1, recipe.network.input_channels, *size)
    return INPUT_RANGE * torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu")


def rate(recipe: Recipe, step: Tensor) -> Tensor:
    """Return the learning rates at `step`, an integer tensor counted from 0, over those of the recipe."""
    return 1 - (1 - recipe.final_rate) * (2 * step.float() / recipe.steps - 1).clamp_min(0)


def make_optimizers(weights: Weights, recipe: Recipe) -> list[tuple[torch.optim.Optimizer, float]]:
    """Return what updates the weights, with its learning rate: Adam, or Muon for the matrices and Adam for the rest."""
    device = weights.matrices.device
    muon = recipe.optimizer == "muon"
    adam = torch.optim.Adam(
        [weights.vectors] if muon else [weights.matrices, weights.vectors],
        lr=recipe.learning_rate,
        betas=recipe.betas,
        fused=True,
        capturable=device.type == "cuda",
    )
    optimizers: list[tuple[torch.optim.Optimizer, float]] = [(adam, recipe.learning_rate)]
    if muon:
        shapes = [(shape[0], shape.numel() // shape[0]) for shape in weights.shapes.values() if len(shape) == 4]
        optimizers.append((Muon([weights.matrices], shapes), recipe.muon_learning_rate))
    for optimizer, learning_rate in optimizers:
        # A tensor, which a captured step can change.
        optimizer.param_groups[0]["lr"] = torch.full((), learning_rate, dtype=torch.float32, device=device)
    return optimizers
