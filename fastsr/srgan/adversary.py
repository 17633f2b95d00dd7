"""The discriminator in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor

from ..training.learner import Learner
from ..training.sharing import whole_at_last
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
        self.network = Discriminator(crop)
        self._learner = Learner(self.network, beta1, accelerator)
        self.optimizer = self._learner.optimizer

    def step(self, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
        """Make one update from pictures and generated ones, each in parts of a step, and return the loss."""
        judge, total = self._learner.parallel, torch.zeros((), device=self._accelerator.device)
        for index, (hr, sr) in enumerate(zip(real, fake, strict=True)):
            with whole_at_last(self._accelerator, judge, index, len(real)):
                loss = discriminator_loss(judge(hr), judge(sr.detach())) / len(real)
                self._accelerator.backward(loss)
            total += loss.detach()
        self._learner.update()
        return total

    @contextmanager
    def frozen(self) -> Iterator[Discriminator]:
        """Give the discriminator of this process for the generator's gradients, and get none for itself."""
        self.network.requires_grad_(False)
        try:
            yield self.network
        finally:
            self.network.requires_grad_(True)
