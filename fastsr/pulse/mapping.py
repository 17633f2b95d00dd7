"""The mapping network of StyleGAN: normally distributed numbers to latent rows."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .gaussian_fit import SLOPE
from .layers import EqualisedLinear

MULTIPLIER = 0.01
"""Of its learning rate."""
EPS = 1e-8


class Mapping(nn.Module):
    """Linear layers, each with a LeakyReLU, after the numbers have been brought to a mean square of 1.

    Args:
        latent: numbers in and out.
        layers: how many.
    """

    def __init__(self, latent: int, layers: int):
        super().__init__()
        self.dense = nn.ModuleList([EqualisedLinear(latent, latent, multiplier=MULTIPLIER) for _ in range(layers)])

    def forward(self, z: Tensor) -> Tensor:
        """Map (N, latent) to (N, latent)."""
        x = z * (z.square().mean(1, keepdim=True) + EPS).rsqrt()
        for layer in self.dense:
            x = F.leaky_relu(layer(x), SLOPE)
        return x
