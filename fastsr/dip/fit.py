"""The loop of Deep Image Prior: fit an hourglass network to one observation through a linear operator."""

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

from ..runtime.cuda_graph import Graphed
from ..runtime.device import default_float32, deterministic_convolutions
from ..runtime.memory import freed_memory_kept
from .early_stopping import Stopping
from .network import Hourglass
from .optimizers import Muon, Weights
from .recipes import Recipe

INPUT_RANGE = 0.1
"""The noise that the network maps to the image is uniform from 0 to this, as in the paper."""
STEPS_BETWEEN_CHECKS = 10
"""Divergence and early stopping are checked every so many steps: a check waits for the GPU."""
MAX_PSNR_DROP = 5.0
"""A guarded fit whose PSNR falls by more than this, in dB, between two checks goes back to its last good weights."""


@dataclass
class State:
    """The state of a fit after a step.

    Attributes:
        step: optimiser steps done.
        image: the result if the fit ended here, (1, C, H, W) float32 in [0, 1]: the running average of the outputs, or
            with a `Stopping` its best image. The next step overwrites it.
        loss: mean squared error between operator(output) and the observation, a scalar. The next step overwrites it.
        picture: number of the image in a list or batch, from 0.
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

    On a GPU the steps are replays of one CUDA graph, and only reading the state waits for them.

    Args:
        observation: (1, C, h, w) float32 in [0, 1], on the device to work on.
        operator: differentiable map from an image (1, C, H, W) to the observation's shape.
        size: (H, W) of the image.
        recipe: network, optimiser and steps.
        seed: random seed of the weights, the input and the noise.
        dtype: precision of activations; weights and the loss are float32.
        observed: fraction of the observation's pixels that were observed, where the operator masks the others to 0;
            the loss is the mean over the observed ones.
        stopping: early stopping rule, which may end the fit before the recipe's last step.
    """
    step = Step(observation, operator, size, recipe, seed=seed, dtype=dtype, observed=observed, stopping=stopping)
    run = Graphed(step, observation.device) if observation.is_cuda else step
    image = step.image if stopping is None else stopping.image
    with nullcontext() if observation.is_cuda else freed_memory_kept():
        for number in range(1, recipe.steps + 1):
            check = recipe.guarded and number % STEPS_BETWEEN_CHECKS == 0
            if check:
                step.snapshot()
            run()
            if check:
                step.roll_back_if_diverged()
            yield State(number, image, step.loss)
            if stopping is not None and number % STEPS_BETWEEN_CHECKS == 0 and stopping.finished():
                return


class Step:
    """One step of a fit, called without arguments: everything that changes from step to step is a tensor on the device.

    Attributes:
        image: (1, C, H, W), the running average of the outputs.
        loss: the mean squared error of the last output, a scalar.
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
        """Take the arguments of `fit`."""
        device = observation.device
        self._observation, self._operator, self._recipe = observation, operator, recipe
        self._seed, self._dtype, self._observed, self._stopping = seed, dtype, observed, stopping
        generator = torch.Generator("cpu").manual_seed(seed)
        self._network = build_network(recipe, generator)
        self._weights = Weights(self._network, device)
        z = make_input(recipe, size, generator)
        self._z = z.to(device, dtype, memory_format=torch.channels_last)
        self._optimizers = make_optimizers(self._weights, recipe)
        self._number = torch.zeros((), dtype=torch.int64, device=device)
        self.image = observation.new_zeros(1, observation.shape[1], *size)
        self.loss = observation.new_zeros(())
        self._good: list[Tensor] | None = None
        self._good_loss = math.inf
        self._snapshot: list[Tensor] = []
        if stopping is not None:
            stopping.begin(self.image)

    @property
    def _parameters(self) -> tuple[Tensor, Tensor]:
        return self._weights.matrices, self._weights.vectors

    def __call__(self) -> None:
        """Do the step."""
        with deterministic_convolutions(), no_autocast(self._z.device):
            self._update()

    def _update(self) -> None:
        noisy = add_noise(self._z, self._recipe.noise, seed=self._seed, step=self._number)
        self._weights.install(self._dtype)
        output = self._network(noisy)
        loss = F.mse_loss(self._operator(output), self._observation) / self._observed
        gradients = torch.autograd.grad(loss, self._parameters)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        factor = rate_factor(self._recipe, self._number)
        for optimizer, learning_rate in self._optimizers:
            optimizer.param_groups[0]["lr"].copy_(learning_rate * factor)
            optimizer.step()
        self._number += 1
        # A plain mean until the window is full; otherwise the first, blank outputs would linger.
        weight = (1 / self._number.float()).clamp_min(1 - self._recipe.average)
        self.image.lerp_(output.detach(), weight)
        self.loss.copy_(loss.detach())
        if self._stopping is not None:
            self._stopping.watch(self._number, output.detach(), self.image, self.loss)

    def snapshot(self) -> None:
        """Copy the weights before a step, which computes their loss."""
        self._snapshot = [parameter.detach().clone() for parameter in self._parameters]

    def roll_back_if_diverged(self) -> None:
        """After a step: restore the last good weights if its PSNR is `MAX_PSNR_DROP` below theirs.

        Otherwise the weights of `snapshot` become the good ones. Adam at a constant learning rate diverges for some
        steps now and then, and would spoil the running average.
        """
        loss = self.loss.item()
        if self._good is not None and loss > self._good_loss * 10 ** (MAX_PSNR_DROP / 10):
            with torch.no_grad():
                for parameter, good in zip(self._parameters, self._good, strict=True):
                    parameter.copy_(good)
        else:
            self._good, self._good_loss = self._snapshot, loss


def build_network(recipe: Recipe, generator: torch.Generator) -> Hourglass:
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


def rate_factor(recipe: Recipe, step: Tensor) -> Tensor:
    """Return the factor of the recipe's learning rates at `step`, an integer tensor counted from 0.

    It is 1 in the first half of the steps and falls linearly to `final_rate` in the second.
    """
    return 1 - (1 - recipe.final_rate) * (2 * step.float() / recipe.steps - 1).clamp_min(0)


def make_optimizers(weights: Weights, recipe: Recipe) -> list[tuple[torch.optim.Optimizer, float]]:
    """Return optimisers with their learning rates: Adam, or Adam for the vectors and Muon for the matrices."""
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
