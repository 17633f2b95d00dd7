"""A network that learns."""

from __future__ import annotations

from collections.abc import Callable

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from .ema import Average
from .sharing import share


class Learner:
    """A network with its optimizer, and the average of its weights.

    Attributes:
        network: as it is, on the device; it may have been given another `forward`.
        parallel: as the processes share it, for the forward pass.
        optimizer: its rate is set for each step.
        average: None where there is none.

    Args:
        network: with its first weights. Its convolutions will be channels_last.
        beta1: of Adam.
        accelerator: of the training.
        ema: how much of the average a step keeps; 0 for no average.
        beta2: of Adam.
        optimizer: makes the optimizer of the network on its device; None for Adam.
    """

    def __init__(
        self,
        network: nn.Module,
        beta1: float,
        accelerator: Accelerator,
        ema: float = 0.0,
        *,
        beta2: float = 0.999,
        optimizer: Callable[[nn.Module], Optimizer] | None = None,
    ):
        self.network = network.to(memory_format=torch.channels_last).to(accelerator.device)  # type: ignore[call-overload]
        self.average = Average(self.network, ema) if ema else None
        made = optimizer(self.network) if optimizer else Adam(self.network.parameters(), betas=(beta1, beta2))
        self.parallel: nn.Module
        self.optimizer: Optimizer
        self.parallel, self.optimizer = share(accelerator, self.network, made)

    def update(self) -> None:
        """Make an update by the gradients that there are."""
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update()

    def modules(self, name: str) -> dict[str, nn.Module]:
        """Return what a checkpoint holds: the network under `name`, and its average."""
        found = {name: self.network}
        return found if self.average is None else {**found, "average": self.average}

    def result(self) -> dict[str, Tensor]:
        """Return the weights that are used: the average, if there is one."""
        return (self.network if self.average is None else self.average.module).state_dict()
