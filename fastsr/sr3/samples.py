"""Several samples of one picture, what they have in common, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, overload

import torch
from torch import Tensor

from ..images import Picture


class Samples(Sequence[Any]):
    """Samples of one picture, or of a batch: images of the kind that came in.

    Attributes:
        images: the samples.
    """

    def __init__(self, picture: Picture, made: Sequence[Picture]):
        """Take what came in, and what was made of it."""
        self._picture, self._made = picture, made
        self.images = [picture.like(one.pixels, one.alpha) for one in made]

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        return self.images[index]

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def mean(self) -> Any:
        """The mean of the samples, an image of their kind: smoother than any of them, and nearer to the truth."""
        return self._picture.like(self._colours.mean(0), self._made[0].alpha)

    @cached_property
    def spread(self) -> Any:
        """How much the samples differ, an uncertainty map: their standard deviation, where white is 1.

        Of colours the root mean square over the channels. A float32 tensor (1, H, W), or (N, 1, H, W) for a batch,
        where tensors came in; else a NumPy array (H, W), or (N, H, W).
        """
        spread = self._colours.var(0, correction=0).mean(1, keepdim=True).sqrt()
        origin = self._picture.origin
        spread = spread if origin.ndim == 4 else spread[0]
        return spread if origin.kind == "torch" else spread.squeeze(-3).cpu().numpy()

    @property
    def _colours(self) -> Tensor:
        return torch.stack([one.pixels for one in self._made])
