"""Where the faces of a picture are, large ones and small ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..images import read
from ..imresize import imresize
from ..tiling import tiles
from .detector import SIDE, yunet
from .faces import Face, Landmarks, NoFaceError

LEVELS = (SIDE // 2, SIDE, 2 * SIDE, 4 * SIDE)
"""Longest sides at which a picture is looked at. The detector knows faces of about 10 to 300 pixels."""
REACH = SIDE // 8
"""What a tile shows around the part in which it is looked for the centres of faces."""
COVERED = 0.5
"""Of two boxes that share more than this part of the smaller one, the better one is kept."""

Detect = Callable[[np.ndarray], np.ndarray]


def find_faces(img: Any) -> list[Face]:
    """Return the faces in a picture, from left to right.

    The picture is looked at in several sizes, the larger ones in tiles, so that a face may fill the picture, or be a
    hundredth of its width and less. It needs OpenCV (the extra `align`). The detector's weights, of 230 kB, are
    downloaded when it is first used.

    Args:
        img: one picture of any kind; see `fastsr.images.read`.

    Returns:
        At least one.

    Raises:
        NoFaceError: none is found.
        InputError, InputTypeError: it is no picture, or several; or OpenCV is not installed.
        MissingFileError, OutputError: the weights of the detector cannot be downloaded or kept.
    """
    picture = read(img)
    height, width = picture.pixels.shape[-2:]
    if len(picture.pixels) != 1:
        raise InputError(f"img is a batch of {len(picture.pixels)} pictures; look for faces in one at a time")
    with torch.no_grad():
        found = _distinct(_seen(picture.premultiplied.cpu().expand(-1, 3, -1, -1), yunet()))
    if not found:
        raise NoFaceError(
            f"no face is found in a picture of {width}x{height} pixels; give one that shows a face from the front, or "
            "cut it out by hand, or say where eyes and mouth are: fastsr.align.align(img, Face(Landmarks(...)), side)"
        )
    return sorted(found, key=lambda face: face.square.centre)


def _seen(pixels: Tensor, detect: Detect) -> Iterable[Face]:
    """Yield what is seen in a picture, (1, 3, H, W), at every level; a face may be seen at several."""
    longest = max(pixels.shape[-2:])
    for level in LEVELS:
        if level > max(longest, SIDE):
            return
        rows, columns = (max(round(side * level / longest), 1) for side in pixels.shape[-2:])
        values = imresize(pixels, size=(rows, columns))[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
        reach = REACH if level > SIDE else 0
        for tile in tiles(rows, columns, SIDE - 2 * reach, reach):
            canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
            part = values[tile.rows.read, tile.columns.read]
            canvas[: part.shape[0], : part.shape[1]] = part
            for row in detect(canvas).astype(float):
                row[[0, *range(4, 14, 2)]] += tile.columns.low
                row[[1, *range(5, 14, 2)]] += tile.rows.low
                x, y = row[0] + row[2] / 2, row[1] + row[3] / 2
                if tile.columns.start <= x < tile.columns.stop and tile.rows.start <= y < tile.rows.stop:
                    face = _face(row).scaled(longest / level)
                    if _possible(face):
                        yield face


def _face(row: np.ndarray) -> Face:
    left, top, width, height, *points, score = row.tolist()
    eyes_nose_mouth = list(zip(points[::2], points[1::2], strict=True))
    del eyes_nose_mouth[2]
    return Face(Landmarks(*eyes_nose_mouth), score, (left, top, width, height))


def _possible(face: Face) -> bool:
    """Whether the landmarks are those of a face: what is none may be taken for one."""
    try:
        return face.square.side >= 1
    except InputError:
        return False


def _distinct(faces: Iterable[Face]) -> list[Face]:
    """Return the best of those that are one face."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(_shared(face, other) <= COVERED for other in kept):
            kept.append(face)
    return kept


def _shared(one: Face, other: Face) -> float:
    """Return the part of the smaller box that lies in the larger one."""
    assert one.box is not None
    assert other.box is not None
    common, areas = 1.0, [one.box[2] * one.box[3], other.box[2] * other.box[3]]
    for axis in (0, 1):
        stop = min(box[axis] + box[axis + 2] for box in (one.box, other.box))
        common *= max(stop - max(one.box[axis], other.box[axis]), 0)
    return common / min(areas) if min(areas) > 0 else 1
