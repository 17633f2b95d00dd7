"""The losses of StyleGAN's training: non-saturating logistic loss (Goodfellow et al., arXiv 1406.2661) with R1."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the mean of softplus(-real) + softplus(fake), from logits (N, 1)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Return the mean of softplus(-fake), from logits (N, 1)."""
    return F.softplus(-fake).mean()


def gradient_penalty(logits: Tensor, pictures: Tensor) -> Tensor:
    """Return R1 (Mescheder et al., arXiv 1801.04406): the squared length of the gradient, the mean over the pictures.

    Args:
        logits: (N, 1), of real pictures.
        pictures: (N, 3, H, W), from which they were made, and which require gradients.

    Returns:
        A number, differentiable with respect to the discriminator.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), pictures, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()
