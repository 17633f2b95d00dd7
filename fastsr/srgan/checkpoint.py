"""A generator with its weights, and what it expects and gives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..checkpoints.own import fingerprint
from .network import Upscaler

RANGES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "unit": ((0.0,), (1.0,)),
    "signed": ((0.5,), (0.5,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""For each range of values, the mean and the deviation that colours in [0, 1] are brought to it by."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A generator with its weights.

    Attributes:
        network: in inference mode, on the CPU; it says its own architecture, scale, channels, blocks and width.
        layout: the project whose layout of keys the file has.
        input_range: of the values that the network takes: "unit" for [0, 1], "signed" for [-1, 1], or "imagenet" for
            colours of the mean and deviation of ImageNet's.
        output_range: of those that it gives.
        name: what errors call it.
    """

    network: Upscaler
    layout: str
    input_range: str
    output_range: str
    name: str

    def __str__(self) -> str:
        network = self.network
        return (
            f"{network.architecture} x{network.scale}, {network.blocks} blocks of {network.width} channels "
            f"({self.layout})"
        )

    def fingerprint(self) -> str:
        """Return digits that are others for other weights."""
        return fingerprint(self.network.state_dict())

    def to_input(self, pixels: Tensor) -> Tensor:
        """Bring colours in [0, 1], (N, C, H, W), to the range that the network takes."""
        mean, deviation = _range(self.input_range, pixels)
        return (pixels - mean) / deviation

    def to_colours(self, output: Tensor) -> Tensor:
        """Bring what the network gives, (N, C, H, W), to colours in [0, 1]."""
        mean, deviation = _range(self.output_range, output)
        return (output * deviation + mean).clamp(0, 1)


def _range(name: str, like: Tensor) -> tuple[Tensor, Tensor]:
    mean, deviation = (torch.tensor(values, dtype=like.dtype, device=like.device) for values in RANGES[name])
    return mean[:, None, None], deviation[:, None, None]
