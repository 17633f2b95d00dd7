"""Several samples of one image, with their mean and their standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from io import BytesIO
from typing import Any, overload

import torch
from torch import Tensor

from ..figures.comparison import compare
from ..images import Picture

MAX_SHOWN = 10
"""The largest number of samples that a notebook shows."""


class Samples(Sequence[Any]):
    """Samples of one image, or of a batch: images of the kind that came in.

    Attributes:
        images: the samples.

    Args:
        picture: the input.
        made: the samples, (N, C, H, W) each.
    """

    def __init__(self, picture: Picture, made: Sequence[Picture]):
        self._picture, self._samples = picture, made
        self.images = [picture.like(sample.pixels, sample.alpha) for sample in made]

    def __repr__(self) -> str:
        """Return the number of samples and their size; the images themselves would be long to print."""
        count, _, height, width = self._samples[0].pixels.shape
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
        """The mean of the samples, an image of their kind. It is smoother than a sample, and closer to the truth."""
        return self._picture.like(self._colours.mean(0), self._samples[0].alpha)

    @cached_property
    def spread(self) -> Any:
        """The standard deviation of the samples, an uncertainty map, for colours in [0, 1].

        For colour images it is the root mean square over the channels. It is a float32 tensor (1, H, W), or (N, 1, H,
        W) for a batch, if a tensor came in; otherwise a NumPy array (H, W), or (N, H, W).
        """
        origin = self._picture.origin
        spread = self._deviation if origin.ndim == 4 else self._deviation[0]
        return spread if origin.kind == "torch" else spread.squeeze(-3).cpu().numpy()

    def _repr_png_(self) -> bytes:
        """Return the PNG that a notebook shows: samples, mean and spread, for a batch those of its first image."""
        colours = self._colours[:, 0]
        shown: dict[str, Any] = {"sample": list(colours[:MAX_SHOWN])}
        if len(self) > 1:
            spread = self._deviation[0]
            white = float(spread.max()) or 1.0
            shown |= {"mean": colours.mean(0), f"spread, white is {255 * white:.0f} of 255": spread / white}
        file = BytesIO()
        compare(*shown.values(), titles=list(shown)).save(file, "PNG")
        return file.getvalue()

    @property
    def _deviation(self) -> Tensor:
        """The standard deviation of the samples, (N, 1, H, W)."""
        return self._colours.var(0, correction=0).mean(1, keepdim=True).sqrt()

    @property
    def _colours(self) -> Tensor:
        """The samples in [0, 1], (samples, N, C, H, W)."""
        return torch.stack([sample.pixels for sample in self._samples])
