"""What a search is to agree with: pictures, and how a generator's pictures are compared with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..consistency import Downscale
from ..metrics import LUMA

KERNEL, BORDER = "cubic", "symmetric"
"""Those of MATLAB's bicubic, as `fastsr.resize` has it."""


@dataclass(frozen=True, eq=False)
class Goal:
    """Pictures of one size.

    Attributes:
        pixels: (N, C, h, w) in [0, 1], float32, C 1 or 3, multiplied by alpha.
        alpha: of the enlarged pictures, (N, 1, resolution, resolution); None where all is opaque.
        resolution: the side of the generator's pictures.
    """

    pixels: Tensor
    alpha: Tensor | None
    resolution: int

    @classmethod
    def joined(cls, goals: Sequence[Goal]) -> Goal:
        """Return goals of one kind as one."""
        alphas = [goal.alpha for goal in goals if goal.alpha is not None]
        pixels = torch.cat([goal.pixels for goal in goals])
        return cls(pixels, torch.cat(alphas) if alphas else None, goals[0].resolution)

    @property
    def kind(self) -> tuple[object, ...]:
        """What goals have in common that can be joined."""
        return tuple(self.pixels.shape[1:]), self.alpha is None, self.resolution

    def one(self, index: int) -> Goal:
        """Return the goal of one picture."""
        at = slice(index, index + 1)
        return Goal(self.pixels[at], None if self.alpha is None else self.alpha[at], self.resolution)

    def repeated(self, times: int, device: torch.device) -> Goal:
        """Return it on a device, with each picture so many times, one after the other."""
        alpha = None if self.alpha is None else self.alpha.to(device).repeat_interleave(times, 0)
        return Goal(self.pixels.to(device).repeat_interleave(times, 0), alpha, self.resolution)

    def colours(self, generated: Tensor) -> Tensor:
        """Map what a generator makes, (N, 3, H, W) from -1 to 1, to colours (N, C, H, W) in [0, 1], not premultiplied.

        What is beyond black and white is clipped, and has the gradient that it would have if it were not: a pixel
        can come back.
        """
        colours = (generated.float() + 1) / 2
        colours = colours + (colours.clamp(0, 1) - colours).detach()
        return colours if self.pixels.shape[1] == colours.shape[1] else (colours * self._grey).sum(1, keepdim=True)

    def difference(self, colours: Tensor) -> Tensor:
        """Return the downscale of colours, (N, C, H, W), less the pictures: (N, C, h, w)."""
        return self._downscale(colours if self.alpha is None else colours * self.alpha) - self.pixels

    @cached_property
    def _downscale(self) -> Downscale:
        small = (self.pixels.shape[-2], self.pixels.shape[-1])
        return Downscale((self.resolution, self.resolution), small, KERNEL, BORDER)

    @cached_property
    def _grey(self) -> Tensor:
        shares = torch.tensor(LUMA, dtype=torch.float64) / sum(LUMA)
        return shares.to(self.pixels).view(1, -1, 1, 1)
