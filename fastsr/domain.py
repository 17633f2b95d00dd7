"""What the pictures look like that weights were trained on, and warnings of pictures of another kind.

A picture is made small, 8x8 colours, and brought to one brightness and contrast. Small pictures of one kind, such as
aligned faces, differ in few directions, and little is left beside them: these are the principal components. Two numbers
say how far a picture is from the kind, as in the monitoring of processes (Jackson and Mudholkar 1979, Technometrics 21,
pages 341-349): T2, the squared standard deviations along the components, and Q, the square of what is left.
"""

from __future__ import annotations

import math
import os
import sys
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
"""Pictures to learn from, at the least."""
FOLDS = 5
BEYOND = 0.005
"""The part of the pictures of the kind itself that is beyond the limit of T2, and beyond that of Q."""
LEVEL = 1 / 255
"""What colours of 8 bits are known to: a picture with less contrast shows nothing, nor does less than that vary."""
KEY = "domain."
"""What the names of a domain's tensors begin with, beside those of a network."""
PACKAGE = os.path.dirname(__file__) + os.sep
NAMED = 3
"""Pictures that a warning names, at the most."""


@dataclass(frozen=True, eq=False)
class Domain:
    """What small pictures of one kind look like.

    Attributes:
        mean: of the 192 numbers of a small picture, (192,).
        components: the directions in which the pictures differ most, (k, 192), orthonormal.
        scales: the standard deviation along each of them, (k,).
        limit: the largest T2 and the largest Q of pictures of the kind, (2,).
    """

    mean: Tensor
    components: Tensor
    scales: Tensor
    limit: Tensor

    def distances(self, pictures: Tensor) -> Tensor:
        """Return how far pictures are from the kind: the larger one of T2 and Q, each over its limit.

        Args:
            pictures: (N, C, H, W) in [0, 1], C 1 or 3.

        Returns:
            (N,), float64, on the CPU: 1 at the limit, infinite for a picture without contrast.
        """
        looks, contrast = _looks(pictures)
        found = (self.t2_and_q(looks) / self.limit.double()).amax(1)
        return found.where(contrast >= LEVEL, math.inf)

    def outside(self, pictures: Tensor) -> bool:
        """Whether any of the pictures, (N, C, H, W) in [0, 1], is of another kind.

        Pictures with a side of less than 8 pixels are not judged.
        """
        return min(pictures.shape[-2:]) >= SIDE and bool((self.distances(pictures) > 1).any())

    def t2_and_q(self, looks: Tensor) -> Tensor:
        """Return T2 and Q, float64 (N, 2), of small pictures (N, 192) of mean 0 and deviation 1."""
        differences, components = looks - self.mean.double(), self.components.double()
        along = differences @ components.T
        left = differences - along @ components
        return torch.stack([(along / self.scales.double()).square().sum(1), left.square().sum(1)], 1)

    def tensors(self) -> dict[str, Tensor]:
        """Return what a file of weights holds of it."""
        values = {"mean": self.mean, "components": self.components, "scales": self.scales, "limit": self.limit}
        return {f"{KEY}{name}": value.float() for name, value in values.items()}

    @classmethod
    def taken(cls, tensors: MutableMapping[str, Tensor]) -> Domain | None:
        """Take it out of the tensors of a file; return None where there is none.

        Raises:
            KeyError: a part of it is missing, or cannot be used.
        """
        found = {key: tensors.pop(key) for key in list(tensors) if key.startswith(KEY)}
        if not found:
            return None
        parts = [found.pop(f"{KEY}{name}") for name in ("mean", "components", "scales", "limit")]
        mean, components, scales, limit = parts
        shapes = [(NUMBERS,), (len(components), NUMBERS), (len(components),), (2,)]
        fits = len(components) > 0 and [tuple(part.shape) for part in parts] == shapes
        if found or not fits or min(scales.min(), limit.min()) <= 0:
            raise KeyError(KEY)
        return cls(mean, components, scales, limit)


def fit(pictures: Iterable[Tensor]) -> Domain:
    """Return what pictures of a kind, and those mirrored left to right, look like.

    Each limit is what 1 in 200 of them is beyond, measured on parts of them that are left out of the fit in turn.

    Args:
        pictures: (C, H, W) in [0, 1], at least 120.

    Raises:
        InputError: there are fewer, or one has no contrast.
    """
    small = [_looks(picture[None]) for picture in pictures]
    if len(small) < LEAST:
        raise InputError(f"pictures: {len(small)} are too few to know their kind by; give at least {LEAST}")
    flat = [index for index, (_, contrast) in enumerate(small) if contrast < LEVEL]
    if flat:
        raise InputError(f"pictures[{flat[0]}] shows nothing: it has one colour")
    looks = torch.cat([each for each, _ in small])
    parts = looks.tensor_split(FOLDS)  # neighbours, which may show the same person, are left out together
    held = [
        _fitted(torch.cat(parts[:number] + parts[number + 1 :])).t2_and_q(part) for number, part in enumerate(parts)
    ]
    found = _fitted(looks)
    return Domain(found.mean, found.components, found.scales, torch.cat(held).quantile(1 - BEYOND, 0))


def warn(doubts: Iterable[Doubt]) -> None:
    """Warn of pictures, if there are any, in one `DomainWarning` of the line that called fastsr."""
    found = tuple(doubts)
    named: dict[str, list[str]] = {}
    for doubt in found:
        named.setdefault(doubt.reason, []).append(doubt.name)
    if named:
        message = ". ".join(f"{_listed(names)} {reason}" for reason, names in named.items())
        warnings.warn(DomainWarning(message, found), stacklevel=_calls_within() + 1)


def warned_of(
    images: Iterable[tuple[Any, str]], doubts_of: Callable[[Picture, str], list[Doubt]]
) -> Iterator[tuple[Any, str]]:
    """Yield images with their names, and warn of each that there are doubts of."""
    for image, name in images:
        warn(doubts_of(read(image, name), name))
        yield image, name


@contextmanager
def gathered() -> Iterator[list[Doubt]]:
    """Keep the doubts that are warned of in a list, in place of showing them."""
    found: list[Doubt] = []
    with warnings.catch_warnings():
        show = warnings.showwarning
        warnings.simplefilter("always", DomainWarning)

        def keep(message: Warning | str, *where: Any, **more: Any) -> None:
            if isinstance(message, DomainWarning) and message.doubts:
                found.extend(message.doubts)
            else:
                show(message, *where, **more)

        warnings.showwarning = keep
        yield found


def _calls_within() -> int:
    """Return how many calls of fastsr's own lie between the caller of this and the line that called fastsr.

    A generator is called by whoever asks it for a value.
    """
    frame, count = sys._getframe(1), 0
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, count = frame.f_back, count + 1
    return count


def _fitted(looks: Tensor) -> Domain:
    """Return what small pictures (N, 192) look like, without a limit."""
    mirrored = looks.unflatten(1, (3, SIDE, SIDE)).flip(-1).flatten(1)
    both = torch.cat([looks, mirrored])
    mean = both.mean(0)
    _, values, directions = torch.linalg.svd(both - mean, full_matrices=False)
    scales = (values[:COMPONENTS] / math.sqrt(len(both))).clamp(min=LEVEL)
    return Domain(mean, directions[:COMPONENTS], scales, torch.full((2,), math.inf))


@torch.no_grad()
def _looks(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return small pictures (N, 192) of mean 0 and deviation 1, and the deviation that they had, (N,)."""
    small = imresize(pictures.detach().to("cpu", torch.float64), size=(SIDE, SIDE)).clamp(0, 1)
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
