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
from .graph import Graphed
from .network import Hourglass
from .optimizers import Muon
from .recipes import Recipe
from .weights import Weights

INPUT_RANGE = 0.1


@dataclass
class State:
    """Where a fit stands.

    Attributes:
        step: optimiser steps done.
        image: running average of the outputs (1, C, H, W), float32 in [0, 1]; updated in place.
        loss: mean squared error between the operator's view of the last output and the observation; likewise.
    """

    step: int
    image: Tensor
    loss: Tensor

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
    """
    step = Step(observation, operator, size, recipe, seed=seed, dtype=dtype)
    run = Graphed(step, observation.device) if observation.is_cuda else step
    with nullcontext() if observation.is_cuda else freed_memory_kept():
        for number in range(1, recipe.steps + 1):
            run()
            yield State(number, step.image, step.loss)


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
    ):
        """Arguments are those of `fit`."""
        device = observation.device
        self._observation, self._operator, self._recipe = observation, operator, recipe
        self._seed, self._dtype = seed, dtype
        generator = torch.Generator("cpu").manual_seed(seed)
        self._network = build(recipe, generator)
        self._weights = Weights(self._network, device)
        shape = (1, recipe.network.input_channels, *size)
        z = INPUT_RANGE * torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu")
        self._z = z.to(device, dtype, memory_format=torch.channels_last)
        self._optimizers = make_optimizers(self._weights, recipe)
        self._number = torch.zeros((), dtype=torch.int64, device=device)
        self.image = observation.new_zeros(1, observation.shape[1], *size)
        self.loss = observation.new_zeros(())

    def __call__(self) -> None:
        """Do the step."""
        with deterministic_convolutions(), no_autocast(self._z.device):
            self._do()

    def _do(self) -> None:
        noisy = add_noise(self._z, self._recipe.noise, seed=self._seed, step=self._number)
        self._weights.install(self._dtype)
        output = self._network(noisy)
        loss = F.mse_loss(self._operator(output), self._observation)
        parameters = self._weights.matrices, self._weights.vectors
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
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


def build(recipe: Recipe, generator: torch.Generator) -> Hourglass:
    """Return the recipe's network with PyTorch's default initial weights, drawn from `generator` alone."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), default_float32():
        torch.manual_seed(int(torch.randint(2**63 - 1, (), generator=generator)))
        return Hourglass(recipe.network)


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
