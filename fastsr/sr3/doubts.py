"""Which pictures the weights do not know: the network draws what it was trained on into those as well."""

from __future__ import annotations

from ..errors import Doubt
from ..images import Picture
from .arguments import TILE_OF_TRAINED, Options, target_size

FOR_PHOTOS = "fastsr.srgan enlarges photos"


def doubts_of(picture: Picture, name: str, options: Options) -> list[Doubt]:
    """Return what speaks against a picture, or nothing: also where the weights do not say what they were trained on.

    It is of another size than the pictures of the training, perhaps so much larger that a tile is a part of what they
    were whole; or it does not look like them.

    Raises:
        InputError, NotEnoughMemoryError: see `target_size`.
    """
    checkpoint, size = options.checkpoint, target_size(picture.pixels, options, name)
    domain, trained, factor = checkpoint.domain, checkpoint.size, checkpoint.factor
    if domain is None:
        return []
    known = checkpoint.pictures or "pictures"
    if trained is not None and factor is not None:
        low = trained // factor
        known += f" of {low}x{low} pixels"
        if size != (trained, trained):
            height, width = picture.pixels.shape[-2:]
            parts = max(size) > TILE_OF_TRAINED * trained
            why = "it is drawn in parts, with the texture of such pictures" if parts else "the result may be worse"
            remedy = f"fastsr.resize(img, size=({low}, {low})) makes that size, and {FOR_PHOTOS}"
            return [Doubt(name, f"{width}x{height} pixels, and {checkpoint.name} knows {known}: {why}; {remedy}")]
    if domain.outside(picture.premultiplied):
        why = f"the {known} that {checkpoint.name} knows: the result has the texture of such pictures; {FOR_PHOTOS}"
        return [Doubt(name, f"unlike {why}")]
    return []
