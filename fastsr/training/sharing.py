"""Networks that several processes train together, and steps that each works on in parts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from accelerate import Accelerator
from torch import nn
from torch.optim import Optimizer


def share(accelerator: Accelerator, network: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
    """Return both as they are used for training: gradients are the mean over the processes, in the precision set.

    The processes begin with the weights of the first one.
    """
    with warnings.catch_warnings():
        # The option's new name is not known to every version of PyTorch that is supported.
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return accelerator.prepare(network, optimizer)


@contextmanager
def whole_at_last(accelerator: Accelerator, network: nn.Module, index: int, count: int) -> Iterator[None]:
    """Run `network`, as `share` returns it, forward and backward for part `index` of `count` of a step.

    Only with the last part the processes exchange gradients.
    """
    with nullcontext() if index == count - 1 else accelerator.no_sync(network):
        yield
