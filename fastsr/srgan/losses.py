"""The losses of SRGAN (Ledig et al., arXiv 1609.04802), computed in float32 even under autocast."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .vgg import VGGFeatures

SIGNED_SQUARE = 4.0
"""The factor from a squared error in [0, 1] to one in [-1, 1], the range of colours in the paper's pixel loss."""


def adversarial_loss(fake_logits: Tensor) -> Tensor:
    """Return the adversarial loss of the generator, the mean of -log D(G(lr)).

    D is the sigmoid of the logit, so -log D = softplus(-logit), whose gradient does not vanish where D is near 0.

    Args:
        fake_logits: the discriminator's logits for generated images, of any shape.
    """
    return F.softplus(-fake_logits.float()).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return the loss of the discriminator, the mean of -log D(hr) plus the mean of -log(1 - D(G(lr))).

    Args:
        real_logits: logits for real images, of any shape.
        fake_logits: logits for generated images, which should be detached from the generator.
    """
    return F.softplus(-real_logits.float()).mean() + F.softplus(fake_logits.float()).mean()


@dataclass(frozen=True)
class LossWeights:
    """The weights of the terms of the generator's loss; a term of weight 0 is not computed.

    Attributes:
        pixel: weight of the mean squared error of colours in [-1, 1].
        content: weight of the mean squared error of VGG features.
        adversarial: weight of `adversarial_loss`.
        l1: weight of the mean absolute error of colours in [0, 1].
    """

    pixel: float = 0.0
    content: float = 0.0
    adversarial: float = 0.0
    l1: float = 0.0

    def __post_init__(self) -> None:
        weights = asdict(self)
        for name, weight in weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"{name}={weight!r} is not the weight of a loss; give 0 or more")
        if not any(weights.values()):
            raise ValueError("every weight is 0; give a pixel, l1, content or adversarial weight above 0")


class GeneratorLoss(nn.Module):
    """The loss of the generator, term by term.

    Args:
        weights: weights of the terms.
        features: network of the content loss; required if that has a weight.

    Raises:
        ValueError: the content loss has a weight, but `features` is None.
    """

    def __init__(self, weights: LossWeights, features: VGGFeatures | None = None):
        super().__init__()
        if weights.content and features is None:
            raise ValueError(f"content={weights.content!r} needs features; see fastsr.srgan.vgg.load_features")
        self.weights, self.features = weights, features

    def forward(self, sr: Tensor, hr: Tensor, fake_logits: Tensor | None = None) -> dict[str, Tensor]:
        """Return the weighted terms of the loss, whose sum is the loss: "pixel", "l1", "content", "adversarial".

        Args:
            sr: generated images, (N, 3, H, W), in [0, 1] or slightly beyond.
            hr: reference images of the same shape; they get no gradient.
            fake_logits: logits of the discriminator for `sr`; required if the adversarial loss has a weight.

        Returns:
            The terms whose weight is not 0, scalars.

        Raises:
            ValueError: the shapes differ, or the logits are missing.
        """
        if sr.shape != hr.shape:
            raise ValueError(f"sr of shape {tuple(sr.shape)} and hr of shape {tuple(hr.shape)} differ")
        weights = self.weights
        terms = {}
        if weights.pixel:
            terms["pixel"] = weights.pixel * SIGNED_SQUARE * F.mse_loss(sr.float(), hr.detach().float())
        if weights.l1:
            terms["l1"] = weights.l1 * F.l1_loss(sr.float(), hr.detach().float())
        if weights.content:
            assert self.features is not None
            with torch.no_grad():
                target = self.features(hr)
            terms["content"] = weights.content * F.mse_loss(self.features(sr).float(), target.float())
        if weights.adversarial:
            if fake_logits is None:
                raise ValueError(f"adversarial={weights.adversarial!r} needs fake_logits")
            terms["adversarial"] = weights.adversarial * adversarial_loss(fake_logits)
        return terms
