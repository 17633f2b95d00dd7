"""A generator with its weights, and what latents it knows."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ..checkpoints.own import fingerprint
from ..domain import Domain
from ..errors import InputError
from .gaussian_fit import GaussianFit
from .generator import Generator


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A generator with its weights.

    Attributes:
        network: in inference mode, on the CPU where it comes from a file.
        fit: what latents its mapping network gives; None where the file does not say.
        layout: the project whose layout of keys the file has; "custom" for a generator that came as an object.
        name: what errors call it.
        domain: what the pictures look like that it was trained on; None where the file does not say.
        pictures: what they are called, such as "aligned faces"; None where nobody says so.

    Raises:
        InputError: the fit is not of as many numbers as a latent row has.
    """

    network: Generator
    fit: GaussianFit | None
    layout: str
    name: str
    domain: Domain | None = None
    pictures: str | None = None

    def __post_init__(self) -> None:
        if self.fit is None:
            return
        for name, numbers in (("mean", self.fit.mean), ("std", self.fit.std)):
            if numbers.shape != (self.network.latent,):
                raise InputError(
                    f"the {name} of the Gaussian fit of {self.name} is of shape {tuple(numbers.shape)}, but a latent "
                    f"row has {self.network.latent} numbers; the fit is that of another mapping network"
                )

    def __str__(self) -> str:
        network = self.network
        kind = type(network).__name__
        side = network.resolution
        return f"{kind} {side}x{side}, {network.layers} layers, latent {network.latent} ({self.layout})"

    def fingerprint(self) -> str:
        """Return digits that are others for other weights, or another Gaussian fit."""
        tensors = dict(self.network.state_dict()) if isinstance(self.network, nn.Module) else {}
        if self.fit is not None:
            tensors |= {"fit.mean": self.fit.mean, "fit.std": self.fit.std}
        return fingerprint(tensors)
