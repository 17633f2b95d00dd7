"""Adaptive discriminator augmentation (Karras et al., arXiv 2006.06676): what the discriminator sees is changed.

Each kind of change is made to each picture with a probability p, in random measure. While p is well below 1, a
generator whose changed pictures look like changed real ones makes pictures like these: changes do not leak.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SHIFT = 1 / 8
"""The farthest that pictures are moved, as a part of their side."""
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0
"""Deviations: of what is added, for pictures in [-1, 1], and of binary logarithms of factors."""
ADAPT_EVERY = 4
"""Steps between changes of p."""


def augment(pictures: Tensor, p: Tensor) -> Tensor:
    """Return pictures changed at random, by torch's random numbers of their device.

    The kinds are those of the paper that move whole pixels (mirroring, quarter turns, shifts, where beyond the edges
    the picture is mirrored) and those of colour (brightness, contrast, inverted luma, hue, saturation).

    Args:
        pictures: float32 (N, 3, S, S), nominally in [-1, 1]; gradients flow through.
        p: the probability of each kind, a number on their device.
    """
    n, channels, side, _ = pictures.shape
    places = _places(n, side, p)[:, None].expand(-1, channels, -1)
    matrix, shift = _colours(n, p)
    changed = torch.baddbmm(shift, matrix, pictures.flatten(2).gather(2, places)).unflatten(2, (side, side))
    return changed.contiguous(memory_format=torch.channels_last)


class Adaptation(nn.Module):
    """The probability of `augment`, which grows while the discriminator is sure of real pictures, and falls otherwise.

    How sure it is, the paper's r_t, is the mean of the signs of its logits of real pictures.

    Attributes:
        p: the probability, from 0 to 1.
        sureness: r_t when it was last measured.

    Args:
        target: of r_t.
        pictures: in how many of them p would go from 0 to 1.
    """

    p: Tensor
    sureness: Tensor
    _signs: Tensor

    def __init__(self, target: float, pictures: int):
        super().__init__()
        self._target, self._pictures = target, pictures
        for name in ("p", "sureness", "_signs"):
            self.register_buffer(name, torch.zeros(()))

    @torch.no_grad()
    def update(self, signs: Tensor, batch: int, step: int) -> None:
        """Count a step.

        Args:
            signs: the mean of the signs of logits of its real pictures, in all processes.
            batch: how many pictures those are.
            step: its number, from 0 on.
        """
        self._signs += signs / ADAPT_EVERY
        if (step + 1) % ADAPT_EVERY == 0:
            change = (self._signs - self._target).sign() * (batch * ADAPT_EVERY / self._pictures)
            self.p.add_(change).clamp_(0, 1)
            self.sureness.copy_(self._signs)
            self._signs.zero_()


def _chosen(n: int, p: Tensor) -> Tensor:
    """Return 1 for pictures to which a kind of change is made, and 0 for others, (N,)."""
    return (torch.rand(n, device=p.device) < p).float()


def _places(n: int, side: int, p: Tensor) -> Tensor:
    """Return for each pixel of a result which pixel of its picture it is, int64 (N, S * S)."""
    device, last = p.device, side - 1
    shifts = [(torch.rand(n, device=device) * 2 - 1) * (SHIFT * side) * chosen for chosen in [_chosen(n, p)] * 2]
    turns = (torch.randint(4, (n,), device=device) * _chosen(n, p)).long()[:, None, None]
    mirrored = torch.rand(n, device=device).lt(0.5 * _chosen(n, p))[:, None, None]
    axis = torch.arange(side, device=device)
    y, x = (last - (last - (axis - shift.round().long()[:, None]).abs()).abs() for shift in shifts)
    y, x = torch.broadcast_tensors(y[:, :, None], x[:, None, :])
    y, x = torch.where(turns % 2 == 1, x, y), torch.where(turns % 2 == 1, last - y, x)
    y, x = (torch.where(turns >= 2, last - each, each) for each in (y, x))
    x = torch.where(mirrored, last - x, x)
    return (y * side + x).flatten(1)


def _colours(n: int, p: Tensor) -> tuple[Tensor, Tensor]:
    """Return what colours are multiplied by, (N, 3, 3), and what is then added, (N, 3, 1)."""
    device = p.device
    brightness = torch.randn(n, device=device) * BRIGHTNESS * _chosen(n, p)
    contrast = torch.exp2(torch.randn(n, device=device) * CONTRAST * _chosen(n, p))
    inverted = torch.rand(n, device=device).lt(0.5 * _chosen(n, p)).float()
    hue = (torch.rand(n, device=device) * 2 - 1) * math.pi * _chosen(n, p)
    saturation = torch.exp2(torch.randn(n, device=device) * SATURATION * _chosen(n, p))
    # All of them keep the axis of greys and the plane across it apart: one factor here, a turn and a factor there.
    grey = torch.full((3, 3), 1 / 3, device=device)
    plane = torch.eye(3, device=device) - grey
    across = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]], device=device) / math.sqrt(3)
    luma = contrast * (1 - 2 * inverted)
    strength = contrast * saturation
    factors = torch.stack([luma, strength * hue.cos(), strength * hue.sin()], 1)
    matrix = (factors[:, :, None, None] * torch.stack([grey, plane, across])).sum(1)
    return matrix, (brightness * luma)[:, None, None].expand(-1, 3, 1)
