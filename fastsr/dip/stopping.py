"""When to end a fit to a noisy picture, which would come to fit its noise as well."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Stopping(Protocol):
    """Watches a fit and keeps its best picture. All but `finished` works on tensors on the device.

    Attributes:
        image: the best picture so far, (1, C, H, W).
    """

    image: Tensor

    def begin(self, image: Tensor) -> None:
        """Make what is kept, for pictures like `image`."""

    def watch(self, number: Tensor, output: Tensor, average: Tensor, loss: Tensor) -> None:
        """Take note of step `number`, from 1: its output, the running average of outputs, and its loss."""

    def finished(self) -> bool:
        """Return whether the fit can end; waits for the device."""


class RunningVariance:
    """Ends a fit when the outputs have ceased to settle: needs neither a clean picture nor the noise's strength.

    The variance of the outputs over the last steps falls while the picture emerges and rises while the noise does
    (Wang et al., "Early Stopping for Deep Image Prior", arXiv 2112.06074, with exponential weights). The image is the
    average of outputs at the least variance.
    """

    def __init__(self, patience: int, share: float = 0.05):
        """Take after how many steps without a new least variance to end, and the weight of a step in it."""
        self._patience, self._share = patience, share

    def begin(self, image: Tensor) -> None:
        """See `Stopping`."""
        self.image = torch.zeros_like(image)
        self._mean = torch.zeros_like(image)
        self._variance = image.new_zeros(())
        self._least = image.new_full((), torch.inf)
        self._age = image.new_zeros(())

    def watch(self, number: Tensor, output: Tensor, average: Tensor, loss: Tensor) -> None:
        """See `Stopping`."""
        share = (1 / number.float()).clamp_min(self._share)
        deviation = output - self._mean
        self._mean.add_(deviation * share)
        self._variance.add_(share * deviation.square().mean()).mul_(1 - share)
        # Before the window is full its variance says nothing.
        better = (self._variance < self._least) & (number * self._share > 1)
        self._least.copy_(torch.where(better, self._variance, self._least))
        self._age.copy_(torch.where(better, 0, self._age + 1))
        self.image.copy_(torch.where(better | self._least.isinf(), average, self.image))

    def finished(self) -> bool:
        """See `Stopping`."""
        return self._age.item() >= self._patience and not self._least.isinf().item()


class NoiseLevel:
    """Ends a fit when its error is that of noise of known strength (Morozov's discrepancy principle).

    A fit whose mean squared error is below sigma^2 has begun to fit the noise. The image is the average of outputs
    when the error, itself averaged over some steps, comes down to sigma^2.
    """

    def __init__(self, sigma: float, share: float = 0.1):
        """Take the noise's standard deviation, of pictures in [0, 1], and the weight of a step in the error."""
        self._error_of_noise, self._share = sigma**2, share

    def begin(self, image: Tensor) -> None:
        """See `Stopping`."""
        self.image = torch.zeros_like(image)
        self._error = image.new_zeros(())
        self._reached = torch.zeros((), dtype=torch.bool, device=image.device)

    def watch(self, number: Tensor, output: Tensor, average: Tensor, loss: Tensor) -> None:
        """See `Stopping`."""
        self._error.lerp_(loss, (1 / number.float()).clamp_min(self._share))
        self.image.copy_(torch.where(self._reached, self.image, average))
        self._reached.logical_or_(self._error <= self._error_of_noise)

    def finished(self) -> bool:
        """See `Stopping`."""
        return bool(self._reached)
