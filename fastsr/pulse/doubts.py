"""Which pictures the weights do not know: a search finds a picture as those that they were trained on all the same."""

from __future__ import annotations

from ..domain import Doubt
from ..images import Picture
from .arguments import Options, check_size


def doubts_of(picture: Picture, name: str, options: Options) -> list[Doubt]:
    """Return what speaks against a picture, or nothing: also where the weights do not say what they were trained on.

    Raises:
        InputError: see `check_size`.
    """
    check_size(picture.pixels, options, name)
    checkpoint = options.checkpoint
    if checkpoint.domain is None or not checkpoint.domain.outside(picture.premultiplied):
        return []
    why = f"unlike the pictures that {checkpoint.name} was trained on: the result is such a picture all the same"
    return [Doubt(name, why)]
