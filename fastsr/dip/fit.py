"""The loop of Deep Image Prior: fit an hourglass to one observation through a linear operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from fastsr_kernels.noise import add_noise

from .network import Hourglass
from .optimizers import Muon
from .recipes import Recipe

INPUT_RANGE = 0.1


@dataclass
class State:
    """Where a fit stands.

    Attributes:
        step: optimiser steps done.
        image: running average of the outputs (1, C, H, W), float32 in [0, 1]; updated in place.
        loss: mean squared error between the operator's view of the last output and the observation.
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

    Args:
        observation: (1, C, h, w) float32 in [0, 1], on the device to work on.
        operator: differentiable map from a picture (1, C, H, W) to the observation's shape.
        size: (H, W) of the picture.
        recipe: network, optimiser and steps.
        seed: names the weights, the input and the noise.
        dtype: precision of activations; weights and the loss are float32.
    """
    device = observation.device
    generator = torch.Generator("cpu").manual_seed(seed)
    network = build(recipe, generator).to(device, torch.float32)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub leaves this out
    shape = (1, recipe.network.input_channels, *size)
    z = INPUT_RANGE * torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu")
    z = z.to(device, memory_format=torch.channels_last)
    optimizers = make_optimizers(network, recipe)
    schedules = [LambdaLR(optimizer, partial(rate, recipe)) for optimizer in optimizers]
    image = observation.new_zeros(1, observation.shape[1], *size)

    for step in range(recipe.steps):
        noisy = add_noise(z, recipe.noise, seed=seed, step=step)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            output = network(noisy)
        output = output.float()
        loss = F.mse_loss(operator(output), observation)
        loss.backward()
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        # A plain mean until the window is full: the first, empty outputs would otherwise linger.
        image.lerp_(output.detach(), max(1 - recipe.average, 1 / (step + 1)))
        yield State(step + 1, image, loss.detach())


def build(recipe: Recipe, generator: torch.Generator) -> Hourglass:
    """Return the recipe's network with PyTorch's default initial weights, drawn from `generator` alone."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(int(torch.randint(2**63 - 1, (), generator=generator)))
        return Hourglass(recipe.network)


def rate(recipe: Recipe, step: int) -> float:
    """Return the learning rates at `step`, counted from 0, over those of the recipe."""
    return 1 - (1 - recipe.final_rate) * max(0.0, 2 * step / recipe.steps - 1)


def make_optimizers(network: Hourglass, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Return what updates the network: Adam, or Muon for the weights of convolutions and Adam for the rest."""
    matrices = [p for p in network.parameters() if p.ndim == 4 and recipe.optimizer == "muon"]
    taken = set(map(id, matrices))
    others = [p for p in network.parameters() if id(p) not in taken]
    adam = torch.optim.Adam(others, lr=recipe.learning_rate, betas=recipe.betas, fused=True)
    return [adam, Muon(matrices, recipe.muon_learning_rate)] if matrices else [adam]
