"""Which pictures the weights do not know: the network draws what it was trained on into those as well."""

from __future__ import annotations

from ..domain import Doubt
from ..images import Picture
from .arguments import TILE_OF_TRAINED, Options, target_size


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
    if trained is not None and factor is not None and size != (trained, trained):
        height, width = picture.pixels.shape[-2:]
        low = trained // factor
        known = f"what {checkpoint.name} was trained on, pictures of {low}x{low} pixels made {trained}x{trained}"
        if max(size) > TILE_OF_TRAINED * trained:
            why = f"larger than {known}: the result is drawn in parts, with the texture of such pictures"
        else:
            why = f"of another size than {known}: the result may be worse"
        return [Doubt(f"{name} of {width}x{height} pixels", why)]
    if domain.outside(picture.premultiplied):
        why = f"unlike the pictures that {checkpoint.name} was trained on: the result has the texture of such pictures"
        return [Doubt(name, why)]
    return []
