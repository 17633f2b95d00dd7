"""The domain of weights, the kind of images they were trained on, and warnings of images outside it.

An image is downscaled to 8x8 pixels, and normalized to mean 0 and standard deviation 1. Such thumbnails of one kind of
image, such as aligned faces, vary mainly along a few principal components. Two statistics measure how far an image is
from the kind, as in statistical process control (Jackson and Mudholkar 1979, Technometrics 21, pages 341-349): T2, the
squared standard deviations along the components, and Q, the squared residual.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .errors import DomainWarning, Doubt, InputError
from .images import Picture, read
from .imresize import imresize

SIDE = 8
NUMBERS = 3 * SIDE**2
COMPONENTS = 60
LEAST = 2 * COMPONENTS
"""Minimum number of images to fit a domain to."""
FOLDS = 5
BEYOND = 0.005
"""The fraction of images of the kind that exceeds the limit of T2, and the fraction that exceeds that of Q."""
LEVEL = 1 / 255
"""The resolution of 8-bit colours: an image with less contrast shows nothing, and no component varies less."""
KEY = "domain."
"""Prefix of the names of a domain's tensors in a file of weights."""
NAMED = 3
"""Maximum number of images that a warning names."""


@dataclass(frozen=True, eq=False)
class Domain:
    """The distribution of the thumbnails of one kind of image.

    Attributes:
        mean: mean of the 192 numbers of a thumbnail, (192,).
        components: principal components, (k, 192), orthonormal.
        scales: standard deviation along each component, (k,).
        limit: limits of T2 and Q for images of the kind, (2,).
    """

    mean: Tensor
    components: Tensor
    scales: Tensor
    limit: Tensor

    def distances(self, images: Tensor) -> Tensor:
        """Return how far images are from the kind: the larger of T2 and Q, each over its limit.

        Args:
            images: (N, C, H, W) in [0, 1], C 1 or 3.

        Returns:
            (N,), float64, on the CPU: 1 at the limit, infinite for an image without contrast.
        """
        features, contrast = _thumbnail_features(images)
        distances = (self.t2_and_q(features) / self.limit.double()).amax(1)
        return distances.where(contrast >= LEVEL, math.inf)

    def outside(self, images: Tensor) -> bool:
        """Whether any of the images, (N, C, H, W) in [0, 1], is of another kind.

        Images with a side of less than 8 pixels are not judged.
        """
        return min(images.shape[-2:]) >= SIDE and bool((self.distances(images) > 1).any())

    def t2_and_q(self, features: Tensor) -> Tensor:
        """Return T2 and Q, float64 (N, 2), of thumbnails (N, 192) of mean 0 and deviation 1."""
        differences, components = features - self.mean.double(), self.components.double()
        along = differences @ components.T
        residual = differences - along @ components
        return torch.stack([(along / self.scales.double()).square().sum(1), residual.square().sum(1)], 1)

    def tensors(self) -> dict[str, Tensor]:
        """Return its tensors by their names in a file of weights."""
        values = {"mean": self.mean, "components": self.components, "scales": self.scales, "limit": self.limit}
        return {f"{KEY}{name}": value.float() for name, value in values.items()}

    @classmethod
    def taken(cls, tensors: MutableMapping[str, Tensor]) -> Domain | None:
        """Remove a domain from the tensors of a file and return it, or None if there is none.

        Raises:
            KeyError: a tensor of it is missing, or has an unusable shape or value.
        """
        own = {key: tensors.pop(key) for key in list(tensors) if key.startswith(KEY)}
        if not own:
            return None
        parts = [own.pop(f"{KEY}{name}") for name in ("mean", "components", "scales", "limit")]
        mean, components, scales, limit = parts
        shapes = [(NUMBERS,), (len(components), NUMBERS), (len(components),), (2,)]
        fits = len(components) > 0 and [tuple(part.shape) for part in parts] == shapes
        if own or not fits or min(scales.min(), limit.min()) <= 0:
            raise KeyError(KEY)
        return cls(mean, components, scales, limit)


def fit(images: Iterable[Tensor]) -> Domain:
    """Return the domain of images of one kind, and of their mirror images.

    Each limit is exceeded by 1 in 200 of the images, as measured by cross-validation.

    Args:
        images: (C, H, W) in [0, 1], at least 120.

    Raises:
        InputError: there are fewer images, or one has no contrast.
    """
    thumbnails = [_thumbnail_features(image[None]) for image in images]
    if len(thumbnails) < LEAST:
        raise InputError(f"images: {len(thumbnails)} are too few to fit a domain to; give at least {LEAST}")
    flat = [index for index, (_, contrast) in enumerate(thumbnails) if contrast < LEVEL]
    if flat:
        raise InputError(f"images[{flat[0]}] has a single colour; leave it out")
    features = torch.cat([each for each, _ in thumbnails])
    folds = features.tensor_split(FOLDS)  # neighbours, which may show the same person, are left out together
    held_out = [
        _without_limit(torch.cat(folds[:number] + folds[number + 1 :])).t2_and_q(fold)
        for number, fold in enumerate(folds)
    ]
    domain = _without_limit(features)
    return Domain(domain.mean, domain.components, domain.scales, torch.cat(held_out).quantile(1 - BEYOND, 0))


def warn(doubts: Iterable[Doubt], stacklevel: int = 3) -> None:
    """Warn of images, if there are any, in one `DomainWarning`.

    Args:
        doubts: images outside the domain of the weights, and why.
        stacklevel: of the line that the warning names; by default the one that called the caller.
    """
    found = tuple(doubts)
    by_reason: dict[str, list[str]] = {}
    for doubt in found:
        by_reason.setdefault(doubt.reason, []).append(doubt.name)
    if by_reason:
        message = ". ".join(f"{_listed(names)} {reason}" for reason, names in by_reason.items())
        warnings.warn(DomainWarning(message, found), stacklevel=stacklevel)


def run_and_warn(
    run: Callable[[Iterator[tuple[Any, str]]], Iterator[Any]],
    images: Iterable[tuple[Any, str]],
    mismatches: Callable[[Picture, str], list[Doubt]],
) -> Iterator[Any]:
    """Yield the results of `run` for images with their names; warn before a result of the images read for it."""
    doubts: list[Doubt] = []

    def checked() -> Iterator[tuple[Any, str]]:
        for image, name in images:
            doubts.extend(mismatches(read(image, name), name))
            yield image, name

    for result in run(checked()):
        warn(doubts)
        doubts.clear()
        yield result


@contextmanager
def collect_doubts() -> Iterator[list[Doubt]]:
    """Collect the doubts of every `DomainWarning` in a list, instead of showing the warnings.

    The list is complete when the context ends; other warnings are shown then.
    """
    doubts: list[Doubt] = []
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DomainWarning)
            yield doubts
    finally:
        for one in caught:
            if isinstance(one.message, DomainWarning) and one.message.doubts:
                doubts.extend(one.message.doubts)
            else:
                warnings.showwarning(one.message, one.category, one.filename, one.lineno, one.file, one.line)


def _without_limit(features: Tensor) -> Domain:
    """Return the domain of thumbnails (N, 192), with infinite limits."""
    mirrored = features.unflatten(1, (3, SIDE, SIDE)).flip(-1).flatten(1)
    both = torch.cat([features, mirrored])
    mean = both.mean(0)
    _, values, directions = torch.linalg.svd(both - mean, full_matrices=False)
    scales = (values[:COMPONENTS] / math.sqrt(len(both))).clamp(min=LEVEL)
    return Domain(mean, directions[:COMPONENTS], scales, torch.full((2,), math.inf))


@torch.no_grad()
def _thumbnail_features(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return thumbnails (N, 192) normalized to mean 0 and deviation 1, and the deviation before, (N,)."""
    small = imresize(images.detach().to("cpu", torch.float64), size=(SIDE, SIDE)).clamp(0, 1)
    values = small.expand(-1, 3, -1, -1).flatten(1)
    values = values - values.mean(1, keepdim=True)
    contrast = values.square().mean(1).sqrt()
    return values / contrast.clamp(min=LEVEL)[:, None], contrast


def _listed(names: list[str]) -> str:
    """Return "a is", "a and b are" or "a, b, c and 4 more are"."""
    if len(names) == 1:
        return f"{names[0]} is"
    shown, rest = names[:NAMED], len(names) - NAMED
    last = f"{rest} more" if rest > 0 else shown.pop()
    return f"{', '.join(shown)} and {last} are"
