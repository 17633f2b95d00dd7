"""A pristine model of one's own photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..errors import InputError
from ..images import read
from ..planes import grey8, levels8, size_of
from ..progress import progress_bar
from .features import BLOCK, FEATURES, count_blocks, measure
from .model import PristineModel, gaussian

SHARP = 0.75
"""The share of the sharpness of a picture's sharpest block that the blocks to use exceed."""


def fit(
    paths: Sequence[Path], *, name: str, source: str, max_pixels: int | None = None, progress: bool = True
) -> PristineModel:
    """Fit a model as NIQE's authors did: mean and covariance of the features of the sharp blocks of all pictures.

    Args:
        paths: image files of good photographs.
        name: what results by this model are called by, such as the name of its file.
        source: where the pictures are from, which the model will say.
        max_pixels: of a picture.
        progress: whether to show a bar.

    Raises:
        MissingFileError: a picture is not there.
        InputError: a picture cannot be read or has no block, or all of them have too few sharp blocks for a covariance
            of full rank.
    """
    chosen = []
    with progress_bar("niqe-fit", "picture", shown=progress) as bar:
        bar.reset(len(paths))
        for path in paths:
            plane = grey8(levels8(read(path, "DIR", max_pixels=max_pixels).pixels[0]))[0]
            if not count_blocks(*plane.shape):
                raise InputError(
                    f"{str(path)!r} is {size_of(plane)} pixels; a picture to fit NIQE on has at least {BLOCK}x{BLOCK}"
                )
            blocks = measure(plane)
            chosen.append(blocks.features[blocks.sharpness > SHARP * blocks.sharpness.max()])
            bar.update()
    features = torch.cat(chosen)
    mean, covariance, complete = gaussian(features)
    if complete <= FEATURES:
        raise InputError(
            f"{len(paths)} pictures of {source!r} have {complete} sharp blocks that are not flat; a covariance of "
            f"{FEATURES} features takes at least {FEATURES + 1}: give more or larger pictures"
        )
    return PristineModel(mean, covariance, name, f"{complete} blocks of {len(paths)} pictures of {source!r}")
