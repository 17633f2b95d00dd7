"""A denoising network with its weights, and what it was trained for."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..checkpoints.own import fingerprint
from ..domain import Domain
from .network import UNet


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A denoising network with its weights.

    Attributes:
        network: in inference mode, on the CPU.
        curve: the noise curve of its training, see `schedules`, float64 (T + 1,).
        prediction: what it says, see `predictions`.
        factor: how many times larger it was trained to make pictures; None where the file does not say.
        size: the side of the pictures that it was trained on, after enlarging; None likewise.
        layout: the project whose layout of keys the file has.
        name: what errors call it.
        domain: what the pictures look like that it was trained on; None where the file does not say.
        pictures: what they are called, such as "aligned faces"; None where nobody says so.
    """

    network: UNet
    curve: Tensor
    prediction: str
    factor: int | None
    size: int | None
    layout: str
    name: str
    domain: Domain | None = None
    pictures: str | None = None

    def __str__(self) -> str:
        config = self.network.config
        trained = "" if self.factor is None or self.size is None else f" for {self.size // self.factor} to {self.size}"
        channels = ", ".join(map(str, config.channels))
        return f"U-Net{trained}, {channels} channels, {len(self.curve) - 1} steps, {self.prediction} ({self.layout})"

    def fingerprint(self) -> str:
        """Return digits that are others for other weights or another noise curve."""
        return fingerprint({**self.network.state_dict(), "curve": self.curve})
