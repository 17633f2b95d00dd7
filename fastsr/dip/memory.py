"""How much memory a fit needs, found by asking autograd what it keeps."""

from __future__ import annotations

import torch

from .network import Hourglass, HourglassConfig

PROBE_SIDE = 128


def fit_memory(config: HourglassConfig, size: tuple[int, int], dtype: torch.dtype) -> int:
    """Return about how many bytes one step at `size` (height, width) keeps and works in.

    What autograd saves at 128x128 is counted tensor by tensor and scaled by the area; as much again as the
    largest of them is allowed four times over for the gradients and the convolutions' own copies.
    """
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    network = Hourglass(config)
    z = torch.zeros(1, config.input_channels, PROBE_SIDE, PROBE_SIDE).contiguous(memory_format=torch.channels_last)
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", dtype, enabled=dtype != torch.float32),
    ):
        output = network(z)
    weights = sum(p.nbytes for p in network.parameters())
    activations = sum(kept.values()) - weights
    del output
    area = config.padded(size[0]) * config.padded(size[1]) / PROBE_SIDE**2
    return int((activations + 4 * max(kept.values())) * area) + 4 * weights
