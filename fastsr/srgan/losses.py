"""The losses of SRGAN (Ledig et al., arXiv 1609.04802), and how much of each its variants have.

All of them are computed in float32, also under autocast.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .vgg import VGGFeatures

SIGNED_SQUARE = 4.0
"""The paper has colours in [-1, 1] for its pixel loss; there, squared differences are four times those in [0, 1]."""


def adversarial_loss(fake_logits: Tensor) -> Tensor:
    """Return what the generator loses where its pictures do not look real: the mean of -log D(G(lr)).

    D is the sigmoid of a logit, thus -log D = softplus(-logit), whose gradient stays where D is near 0.

    Args:
        fake_logits: of the discriminator for generated pictures, of any shape.
    """
    return F.softplus(-fake_logits.float()).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return the cross-entropies of both kinds, added: the mean of -log D(hr) and that of -log(1 - D(G(lr))).

    Args:
        real_logits: for pictures of the data, of any shape.
        fake_logits: for generated ones; they should be detached from the generator.
    """
    return F.softplus(-real_logits.float()).mean() + F.softplus(fake_logits.float()).mean()


@dataclass(frozen=True)
class LossWeights:
    """What each term of the generator's loss is multiplied by; a term of weight 0 is not computed.

    Attributes:
        pixel: mean squared error of colours, in [-1, 1].
        l1: mean absolute error of colours, in [0, 1].
        content: mean squared error of features.
        adversarial: see `adversarial_loss`.
    """

    pixel: float = 0.0
    content: float = 0.0
    adversarial: float = 0.0
    l1: float = 0.0

    def __post_init__(self) -> None:
        weights = asdict(self)
        for name, weight in weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"{name}={weight!r} is no weight of a loss; give 0 or more")
        if not any(weights.values()):
            raise ValueError("every weight is 0; give a pixel, l1, content or adversarial weight above 0")


SRRESNET = LossWeights(pixel=1.0)
"""The first stage of every variant."""
SRGAN_MSE = LossWeights(pixel=1.0, adversarial=1e-3)
SRGAN_VGG = LossWeights(content=1.0, adversarial=1e-3)
"""Both of VGG22 and of VGG54, by the features."""


class GeneratorLoss(nn.Module):
    """The terms of the generator's loss.

    Args:
        weights: of the terms.
        features: of which the content loss is made; needed where it has a weight.

    Raises:
        ValueError: the content loss has a weight, and there are no features.
    """

    def __init__(self, weights: LossWeights, features: VGGFeatures | None = None):
        super().__init__()
        if weights.content and features is None:
            raise ValueError(f"content={weights.content!r} needs features; see fastsr.srgan.vgg.load_features")
        self.weights, self.features = weights, features

    def forward(self, sr: Tensor, hr: Tensor, fake_logits: Tensor | None = None) -> dict[str, Tensor]:
        """Return the terms that have a weight, multiplied by it: "pixel", "l1", "content", "adversarial".

        Their sum is the loss.

        Args:
            sr: generated colours, (N, 3, H, W), in [0, 1] or a little beyond.
            hr: those that they should be, of the same shape; no gradient goes there.
            fake_logits: the discriminator's for `sr`; needed where the adversarial loss has a weight.

        Raises:
            ValueError: the shapes differ, or logits are missing.
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
                wanted = self.features(hr)
            terms["content"] = weights.content * F.mse_loss(self.features(sr).float(), wanted.float())
        if weights.adversarial:
            if fake_logits is None:
                raise ValueError(f"adversarial={weights.adversarial!r} needs fake_logits")
            terms["adversarial"] = weights.adversarial * adversarial_loss(fake_logits)
        return terms
