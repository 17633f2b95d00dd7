"""A network that learns."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from .accelerator import prepare_distributed


class EMA(nn.Module):
    """A copy of a network, ``module``, that each `update` moves towards the network by 1 - `decay`.

    It moves by more in the first updates, 9 / (10 + n) in the n-th, or the start would weigh on it for long; the first
    one copies. Statistics of batch norms are averaged as well. An update waits for nothing on the device.

    Args:
        network: on the device where it is trained, and not yet shared among processes.
        decay: from 0 to less than 1.
    """

    n_averaged: Tensor

    def __init__(self, network: nn.Module, decay: float):
        super().__init__()
        self.module = copy.deepcopy(network).requires_grad_(False)
        self.register_buffer("n_averaged", torch.tensor(0, device="cpu"))  # where reading it makes nobody wait
        self._decay = decay
        self._averages, self._values = (_tensors(each, floating=True) for each in (self.module, network))
        self._copies, self._counts = (_tensors(each, floating=False) for each in (self.module, network))

    @torch.no_grad()
    def update(self) -> None:
        """Count the network as it is now."""
        count = int(self.n_averaged)
        if count:
            torch._foreach_lerp_(self._averages, self._values, 1 - min(self._decay, (1 + count) / (10 + count)))
        else:
            torch._foreach_copy_(self._averages, self._values)
        if self._copies:
            torch._foreach_copy_(self._copies, self._counts)
        self.n_averaged += 1


def _tensors(network: nn.Module, *, floating: bool) -> list[Tensor]:
    everything = itertools.chain(network.parameters(), network.buffers())
    return [tensor for tensor in everything if tensor.is_floating_point() == floating]


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
        self.average = EMA(self.network, ema) if ema else None
        made = optimizer(self.network) if optimizer else Adam(self.network.parameters(), betas=(beta1, beta2))
        self.parallel: nn.Module
        self.optimizer: Optimizer
        self.parallel, self.optimizer = prepare_distributed(accelerator, self.network, made)

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
