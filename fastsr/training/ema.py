"""The running average of the weights of a network."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Tensors = tuple[Tensor, ...] | list[Tensor]


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """Return a copy of `network` whose ``update_parameters(network)`` moves it towards the network by 1 - `decay`.

    It moves by more in the first steps, 9 / (10 + n) in the n-th, or the start would weigh on it for long. Statistics
    of batch norms are averaged as well. To be called before a network is shared among processes.
    """

    def move(averages: Tensors, values: Tensors, _: Tensor | int) -> None:
        count = int(model.n_averaged)  # the argument is a copy on the device, which would have to be waited for
        if averages[0].is_floating_point():
            get_ema_multi_avg_fn(min(decay, (1 + count) / (10 + count)))(averages, values, count)
        else:
            for average, value in zip(averages, values, strict=True):
                average.copy_(value)

    model = AveragedModel(network, multi_avg_fn=move, use_buffers=True).requires_grad_(False)
    return model
