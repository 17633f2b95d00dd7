"""Which pictures the weights do not know: a search finds a picture as those that they were trained on all the same."""

from __future__ import annotations

from ..domain import SIDE
from ..errors import Doubt
from ..images import Picture
from .arguments import Options, check_size

REMEDY = "; `fastsr pulse --align` finds the faces in photos, and fastsr.srgan enlarges photos"


def doubts_of(picture: Picture, name: str, options: Options, *, aligned: bool = False) -> list[Doubt]:
    """Return what speaks against a picture, or nothing: also where the weights do not say what they were trained on.

    Args:
        picture: to search for.
        name: what a message calls it.
        options: of the search.
        aligned: whether it was cut out of a photo as a face.

    Raises:
        InputError: see `check_size`.
    """
    check_size(picture.pixels, options, name)
    checkpoint, side = options.checkpoint, picture.pixels.shape[-1]
    domain, resolution = checkpoint.domain, checkpoint.network.resolution
    if domain is None:
        return []
    what = f"the {checkpoint.pictures or 'pictures'} of {resolution}x{resolution} pixels that {checkpoint.name} knows"
    if side < SIDE:
        few = f"{side}x{side} pixels, and nearly any of {what} fits so few; give at least {SIDE}x{SIDE}"
        return [Doubt(name, few)]
    if domain.outside(picture.premultiplied):
        remedy = "" if aligned else REMEDY
        return [Doubt(name, f"unlike {what}, made small: the result is such a picture all the same{remedy}")]
    return []
