"""The discriminator in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim import Adam

from ..training.sharing import share, whole_at_last
from .discriminator import Discriminator
from .losses import discriminator_loss


class Adversary:
    """A discriminator, new, and its optimizer.

    Args:
        crop: the side of the pictures.
        beta1: of Adam; its rate is set for each step.
        accelerator: of the training.
    """

    def __init__(self, crop: int, beta1: float, accelerator: Accelerator):
        self._accelerator = accelerator
        self.network = Discriminator(crop).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        adam = Adam(self.network.parameters(), betas=(beta1, 0.999))
        self._parallel, self.optimizer = share(accelerator, self.network, adam)

    def step(self, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
        """Make one update from pictures and generated ones, each in parts of a step, and return the loss."""
        total = torch.zeros((), device=self._accelerator.device)
        for index, (hr, sr) in enumerate(zip(real, fake, strict=True)):
            with whole_at_last(self._accelerator, self._parallel, index, len(real)):
                loss = discriminator_loss(self._parallel(hr), self._parallel(sr.detach())) / len(real)
                self._accelerator.backward(loss)
            total += loss.detach()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return total

    @contextmanager
    def frozen(self) -> Iterator[Discriminator]:
        """Give the discriminator of this process for the generator's gradients, and get none for itself."""
        self.network.requires_grad_(False)
        try:
            yield self.network
        finally:
            self.network.requires_grad_(True)
