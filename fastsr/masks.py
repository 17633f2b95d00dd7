"""The mask of a picture: which pixels are to be filled in, from an image of any kind."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from .errors import InputError
from .images import read

FILLED_ABOVE = 0.1
"""Of white: the soft edge of a drawn mask belongs to what is drawn, the noise of a JPEG's black does not."""


def read_known(mask: Any, size: tuple[int, int], name: str = "mask", of: str = "img", count: int = 1) -> Tensor:
    """Return (1 or N, 1, H, W) float32, 0 where `mask` is white, which is what is to be filled in, and 1 elsewhere.

    Args:
        mask: a grey picture of any kind that `images.read` takes, or a tensor (H, W); black is what is known, and
            more than a tenth of white is filled in. Booleans are True where a pixel is filled in.
        size: (H, W) of the picture that it belongs to.
        name: what errors call the mask.
        of: what errors call the picture.
        count: N, how many pictures it may be a batch for.

    Raises:
        InputError, InputTypeError: it is no picture, has colours or transparency or another size, or marks no
            pixel, or all of them.
    """
    if isinstance(mask, Tensor) and mask.ndim == 2:
        mask = mask[None]
    picture = read(mask, name)
    pixels = picture.pixels
    if len(pixels) not in (1, count):
        raise InputError(f"{name} is a batch of {len(pixels)} and {of} has {count} pictures; give one mask, or {count}")
    transparent = picture.alpha is not None and bool((picture.alpha < 1).any())
    if transparent or bool((pixels != pixels[:, :1]).any()):
        kind = "transparency" if transparent else "colours"
        raise InputError(f"{name} has {kind}; a mask is grey: white where pixels are filled in, black elsewhere")
    if pixels.shape[-2:] != size:
        found, wanted = (f"{width}x{height}" for height, width in (pixels.shape[-2:], size))
        raise InputError(f"{name} is {found} pixels and {of} is {wanted}; a mask has the size of its picture")
    known = (pixels[:, :1] <= FILLED_ABOVE).float()
    of_each = known.flatten(1)
    if of_each.all(1).any():
        raise InputError(f"{name} is black everywhere, so that nothing is filled in; white marks what is")
    if not of_each.any(1).all():
        raise InputError(f"{name} is white everywhere, so that no pixel is known; black marks what is")
    return known


def reaches(known: Tensor, distance: int) -> bool:
    """Return whether every pixel has one that is `known`, (1, 1, H, W), within a square of `distance` pixels around."""
    return bool(F.max_pool2d(known, 2 * distance + 1, stride=1, padding=distance).all())
