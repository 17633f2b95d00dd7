"""How much memory a fit needs, found by asking autograd what it keeps."""

from __future__ import annotations

from functools import lru_cache

import torch

from ..activations import saved_for_backward
from .network import Hourglass, HourglassConfig
from .weights import Weights

PROBE_SIDE = 128
COPIES_OF_WEIGHTS = 6
"""Weights, those to compute with, gradients, the two moments of Adam, and what an update works in."""
PICTURES = 10
"""Float32 pictures a step holds: output and average, observation and residual, and their gradients."""


def fit_memory(config: HourglassConfig, size: tuple[int, int], dtype: torch.dtype) -> int:
    """Return about how many bytes a fit at `size` (height, width) takes.

    What autograd saves at 128x128 is counted tensor by tensor and scaled by the area; as much again as the
    largest of them is allowed eight times over for the gradients and the convolutions' own copies, and a quarter
    of all for what the allocator leaves unused.
    """
    saved, largest, weights = _probe(config, dtype)
    inputs = 2 * config.input_channels  # the noise of the input, and the noisy input
    area = config.padded(size[0]) * config.padded(size[1])
    per_pixel = (saved + 8 * largest) / PROBE_SIDE**2 + 4 * (inputs + PICTURES * config.output_channels)
    return int(1.25 * (per_pixel * area + COPIES_OF_WEIGHTS * weights))


@lru_cache
def _probe(config: HourglassConfig, dtype: torch.dtype) -> tuple[int, int, int]:
    """The bytes that autograd saves for one forward pass at 128x128, the largest of them, and the weights' bytes."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        network = Hourglass(config)
    weights = Weights(network, torch.device("cpu"))
    weights.install(dtype)
    z = torch.zeros(1, config.input_channels, PROBE_SIDE, PROBE_SIDE, dtype=dtype, device="cpu")
    z = z.contiguous(memory_format=torch.channels_last)
    saved, largest = saved_for_backward(lambda: network(z), (network.head.weight, weights.vectors))
    return saved, largest, weights.matrices.nbytes + weights.vectors.nbytes
