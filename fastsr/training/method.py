"""What a method brings to the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer

Batch = TypeVar("Batch")


class Training(ABC, Generic[Batch]):
    """A method in training. Steps are numbered from 0; several processes call everything but the last three alike.

    Attributes:
        steps: how many there are.
        benchmark: what `validate` is on, in the one process that calls it; scores of another one are not compared.
    """

    steps: int
    benchmark: str = ""

    @abstractmethod
    def facts(self) -> Mapping[str, str]:
        """Return what, beside the settings, must be as it was for a run to go on, by what errors call it."""

    @abstractmethod
    def stage(self, step: int) -> str:
        """Return the name of what step number `step` trains; its weights are kept under that name."""

    @abstractmethod
    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""

    @abstractmethod
    def batches(self, sample: int) -> Iterator[Batch]:
        """Return the batches of this process without end, its parts of the steps from sample number `sample` on."""

    @abstractmethod
    def prepare(self, step: int) -> None:
        """Make what a step needs that steps before it did not; called before each, and before a state is loaded."""

    @abstractmethod
    def modules(self) -> Mapping[str, nn.Module]:
        """Return everything with weights or statistics, as it is and not as processes share it."""

    @abstractmethod
    def optimizers(self) -> Mapping[str, Optimizer]:
        """Return the optimizers; the loop sets their learning rates."""

    @abstractmethod
    def step(self, parts: Sequence[Batch]) -> Mapping[str, Tensor]:
        """Make one update from this process's parts of a step, and return its losses, numbers on the device."""

    @abstractmethod
    def validate(self) -> Mapping[str, float]:
        """Return scores, or none; the higher the first one is, the better the weights are."""

    @abstractmethod
    def samples(self) -> Image.Image:
        """Return a picture that shows what the weights do."""

    @abstractmethod
    def export(self, path: Path) -> None:
        """Write the weights for use: a .safetensors file."""
