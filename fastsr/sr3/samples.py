"""Several samples of one picture, what they have in common, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from io import BytesIO
from typing import Any, overload

import torch
from torch import Tensor

from ..compare import compare
from ..images import Picture

SHOWN = 10
"""Samples that a notebook shows, at the most."""


class Samples(Sequence[Any]):
    """Samples of one picture, or of a batch: images of the kind that came in.

    Attributes:
        images: the samples.
    """

    def __init__(self, picture: Picture, made: Sequence[Picture]):
        """Take what came in, and what was made of it."""
        self._picture, self._made = picture, made
        self.images = [picture.like(one.pixels, one.alpha) for one in made]

    def __repr__(self) -> str:
        """Say how many there are, and of which size: images can be long to print."""
        count, _, height, width = self._made[0].pixels.shape
        batch = f" of a batch of {count}" if count > 1 else ""
        return f"<{len(self)} samples{batch}, {width}x{height} pixels, kind {self._picture.origin.kind!r}>"

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
        origin = self._picture.origin
        spread = self._deviation if origin.ndim == 4 else self._deviation[0]
        return spread if origin.kind == "torch" else spread.squeeze(-3).cpu().numpy()

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows, of a batch for its first picture: samples, their mean, and their spread."""
        colours = self._colours[:, 0]
        shown: dict[str, Any] = {"sample": list(colours[:SHOWN])}
        if len(self) > 1:
            spread = self._deviation[0]
            white = float(spread.max()) or 1.0
            shown |= {"mean": colours.mean(0), f"spread, white is {255 * white:.0f} of 255": spread / white}
        file = BytesIO()
        compare(*shown.values(), titles=list(shown)).save(file, "PNG")
        return file.getvalue()

    @property
    def _deviation(self) -> Tensor:
        """The standard deviation, (N, 1, H, W)."""
        return self._colours.var(0, correction=0).mean(1, keepdim=True).sqrt()

    @property
    def _colours(self) -> Tensor:
        return torch.stack([one.pixels for one in self._made])
