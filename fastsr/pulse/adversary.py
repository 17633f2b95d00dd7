"""The discriminator in training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from ..training.learner import Learner
from ..training.sharing import whole_at_last
from .augment import Adaptation, augment
from .discriminator import Discriminator
from .train_losses import discriminator_loss, generator_loss, gradient_penalty
from .train_settings import TrainSettings

BETAS = (0.0, 0.99)
"""Of Adam, for both networks."""


class Last(nn.Module):
    """The last value of what is not measured in every step, so that a checkpoint has it."""

    value: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("value", torch.zeros(()))


class Adversary:
    """A discriminator, new, its optimizer, and the changes to the pictures that it judges.

    R1 is the gradient with respect to these changed pictures.

    Args:
        settings: of the training.
        channels: at each side, see `Discriminator`.
        resolution: the side of the pictures.
        accelerator: of the training.
    """

    def __init__(self, settings: TrainSettings, channels: Sequence[int], resolution: int, accelerator: Accelerator):
        self._settings, self._accelerator = settings, accelerator
        self._weight = settings.penalty_weight(resolution) / 2 * settings.penalty_every
        self._learner = Learner(Discriminator(channels), BETAS[0], accelerator, beta2=BETAS[1])
        self._adaptation = Adaptation(settings.augment_target, settings.augment_images).to(accelerator.device)
        self._r1 = Last().to(accelerator.device)

    @property
    def optimizer(self) -> Optimizer:
        """That of the discriminator."""
        return self._learner.optimizer

    def modules(self) -> Mapping[str, nn.Module]:
        """Return what a checkpoint holds."""
        return {"discriminator": self._learner.network, "augmentation": self._adaptation, "r1": self._r1}

    def step(self, real: Sequence[Tensor], fake: Sequence[Tensor], step: int) -> dict[str, Tensor]:
        """Make one update, and return what a log has of it.

        Args:
            real: pictures in [-1, 1], in parts of the step.
            fake: as many generated ones, likewise.
            step: its number.
        """
        judge, device, parts = self._learner.parallel, self._accelerator.device, len(real)
        total, signs, r1 = (torch.zeros((), device=device) for _ in range(3))
        penalised = step % self._settings.penalty_every == 0
        for index, pictures in enumerate(zip(real, fake, strict=True)):
            with whole_at_last(self._accelerator, judge, index, parts):
                seen, made = (self._changed(each.detach()) for each in pictures)
                logits = judge(seen.requires_grad_(penalised))
                loss = discriminator_loss(logits, judge(made))
                total += loss.detach() / parts
                signs += logits.detach().sign().mean() / parts
                if penalised:
                    penalty = gradient_penalty(logits, seen)
                    r1 += penalty.detach() / parts
                    loss = loss + self._weight * penalty
                self._accelerator.backward(loss / parts)
        self._learner.update()
        if penalised:
            self._r1.value.copy_(r1)
        if self._settings.augment_target:
            self._adaptation.update(self._accelerator.reduce(signs, "mean"), self._settings.batch, step)
        adaptation = self._adaptation
        return {"discriminator": total, "r1": self._r1.value, "p": adaptation.p, "r_t": adaptation.sureness}

    def loss(self, fake: Tensor) -> Tensor:
        """Return the generator's loss for pictures that it made."""
        return generator_loss(self._learner.network(self._changed(fake)))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let no gradients be computed for the discriminator itself."""
        self._learner.network.requires_grad_(False)
        try:
            yield
        finally:
            self._learner.network.requires_grad_(True)

    def _changed(self, pictures: Tensor) -> Tensor:
        return augment(pictures, self._adaptation.p) if self._settings.augment_target else pictures
