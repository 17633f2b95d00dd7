"""The running average of the weights of a network."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import Tensor, nn


class Average(nn.Module):
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
