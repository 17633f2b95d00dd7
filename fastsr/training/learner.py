"""A network in training: with its optimizer and the exponential moving average (EMA) of its weights."""

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
    """The exponential moving average of a network's weights.

    The n-th update is ``average = d * average + (1 - d) * weights`` with d = min(decay, (1 + n) / (10 + n)), n from 0,
    so that the initial weights are soon forgotten; the first update copies the weights. Running statistics of batch
    norms are averaged as well. An update does not synchronize with the device.

    Attributes:
        module: the averaged network.
        n_averaged: number of updates.

    Args:
        network: the network, on the device where it is trained, before it is prepared for several processes.
        decay: EMA decay, from 0 to less than 1.
    """

    n_averaged: Tensor

    def __init__(self, network: nn.Module, decay: float):
        super().__init__()
        self.module = copy.deepcopy(network).requires_grad_(False)
        self.register_buffer("n_averaged", torch.tensor(0, device="cpu"))  # reading it does not wait for a GPU
        self._decay = decay
        self._averages, self._values = (_tensors(each, floating=True) for each in (self.module, network))
        self._copies, self._counts = (_tensors(each, floating=False) for each in (self.module, network))

    @torch.no_grad()
    def update(self) -> None:
        """Include the current weights of the network in the average."""
        count = int(self.n_averaged)
        if count:
            torch._foreach_lerp_(self._averages, self._values, 1 - min(self._decay, (1 + count) / (10 + count)))
        else:
            torch._foreach_copy_(self._averages, self._values)
        if self._copies:
            torch._foreach_copy_(self._copies, self._counts)
        self.n_averaged += 1


def _tensors(network: nn.Module, *, floating: bool) -> list[Tensor]:
    """Return the parameters and buffers of floating point type, or those of other types."""
    tensors = itertools.chain(network.parameters(), network.buffers())
    return [tensor for tensor in tensors if tensor.is_floating_point() == floating]


class Learner:
    """A network with its optimizer and the average of its weights.

    Attributes:
        network: the network itself, on the device, in channels_last; accelerate may have wrapped its `forward`.
        parallel: the network for the forward pass, whose gradients are averaged over the processes.
        optimizer: the optimizer; the training loop sets its learning rate.
        average: the EMA of the weights; None without one.

    Args:
        network: the network with its initial weights.
        beta1: Adam beta1.
        accelerator: accelerator of the training.
        ema: EMA decay of the weights; 0 disables EMA.
        beta2: Adam beta2.
        optimizer: function that returns the optimizer of the network on its device; None for Adam.
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
        if optimizer is None:
            own_optimizer: Optimizer = Adam(self.network.parameters(), betas=(beta1, beta2))
        else:
            own_optimizer = optimizer(self.network)
        self.parallel: nn.Module
        self.optimizer: Optimizer
        self.parallel, self.optimizer = prepare_distributed(accelerator, self.network, own_optimizer)

    def update(self) -> None:
        """Make an optimizer step with the current gradients, clear them, and update the average."""
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update()

    def modules(self, name: str) -> dict[str, nn.Module]:
        """Return the modules of a checkpoint: the network under `name`, and its average, if there is one."""
        modules = {name: self.network}
        return modules if self.average is None else {**modules, "average": self.average}

    def result(self) -> dict[str, Tensor]:
        """Return the weights for inference: the averaged ones, if there is an average."""
        return (self.network if self.average is None else self.average.module).state_dict()
