"""Face detection with YuNet at several scales, for large and small faces."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..images import read
from ..images.tiling import tiles
from ..imresize import imresize
from ..io.downloads import Checksum, cache_folder, fetch_needed, file_name
from .faces import Face, Landmarks, NoFaceError

SIDE = 640
"""Height and width in pixels of the network's input; some versions of OpenCV support no other."""
LEAST_SCORE = 0.7
"""Faces that the detector gives a lower score are ignored."""
OVERLAP = 0.3
"""Of two boxes with a larger intersection over union, only the one with the better score is kept."""
MOST_BOXES = 5000
"""The most boxes before overlapping ones are removed."""
SIDES = (SIDE // 2, SIDE, 2 * SIDE, 4 * SIDE)
"""Longest sides in pixels at which an image is searched: the detector finds faces of about 10 to 300 pixels."""
TILE_MARGIN = SIDE // 8
"""Pixels that a tile shows around the part in which centres of faces are searched."""
COVERED = 0.5
"""Of two boxes that share more than this fraction of the smaller one, only the one with the better score is kept."""

_ZOO = "https://media.githubusercontent.com/media/opencv/opencv_zoo/f12e12798e8314f7c074a6656816c048dcc95b7a"
ADDRESS = f"{_ZOO}/models/face_detection_yunet/face_detection_yunet_2023mar.onnx"
"""The weights of YuNet, 232589 bytes, in OpenCV's model zoo, under the MIT licence."""
CHECKSUM = Checksum("sha256", "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4")


class YuNet:
    """The YuNet face detector of OpenCV, with its weights.

    Raises:
        InputError: OpenCV is not installed.
        MissingFileError, OutputError: the weights cannot be downloaded or written to the cache.
    """

    def __init__(self) -> None:
        if find_spec("cv2") is None:
            raise InputError("finding faces needs OpenCV; install it with pip install opencv-python-headless")
        import cv2

        path = cache_folder() / file_name(ADDRESS)
        fetch_needed(ADDRESS, path, CHECKSUM, "the face detector")
        level = cv2.utils.logging.setLogLevel(
            cv2.utils.logging.LOG_LEVEL_ERROR
        )  # it warns about backends that are not used
        try:
            self._network = cv2.FaceDetectorYN.create(
                str(path), "", (SIDE, SIDE), score_threshold=LEAST_SCORE, nms_threshold=OVERLAP, top_k=MOST_BOXES
            )
        finally:
            cv2.utils.logging.setLogLevel(level)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Detect faces.

        Args:
            image: (640, 640, 3), uint8, RGB.

        Returns:
            (faces, 15), float32: x and y of the upper left corner of the box, its width and height; x and y of the left
            eye, the right eye, the tip of the nose, the left and the right corner of the mouth, where left is the
            viewer's left; and the score.
        """
        _, faces = self._network.detect(np.ascontiguousarray(image[..., ::-1]))
        return np.empty((0, 15), np.float32) if faces is None else faces


@cache
def yunet() -> YuNet:
    """Return the detector, loaded once."""
    return YuNet()


Detect = Callable[[np.ndarray], np.ndarray]


def find_faces(img: Any) -> list[Face]:
    """Return the faces in an image, from left to right.

    The image is searched at several sizes, the larger ones in tiles: a face may fill the image, or take less than a
    hundredth of its width. It needs OpenCV (the extra `align`). The detector's weights, 230 kB, are downloaded on first
    use.

    Args:
        img: one image of any kind; see `fastsr.images.read`.

    Returns:
        One face or more.

    Raises:
        NoFaceError: no face is found.
        InputError, InputTypeError: `img` is not an image, or a batch of several; or OpenCV is not installed.
        MissingFileError, OutputError: the weights cannot be downloaded or written to the cache.
    """
    image = read(img)
    height, width = image.pixels.shape[-2:]
    if len(image.pixels) != 1:
        raise InputError(f"img is a batch of {len(image.pixels)} images; give one at a time")
    with torch.no_grad():
        faces = _remove_duplicates(_detect(image.premultiplied.cpu().expand(-1, 3, -1, -1), yunet()))
    if not faces:
        raise NoFaceError(
            f"no face is found in an image of {width}x{height} pixels; give one that shows a face from the front, or "
            "crop it by hand, or give the positions of eyes and mouth: "
            "fastsr.align.align(img, Face(Landmarks(...)), side)"
        )
    return sorted(faces, key=lambda face: face.square.centre)


def _detect(pixels: Tensor, detect: Detect) -> Iterable[Face]:
    """Yield the faces in an image, (1, 3, H, W) in [0, 1], at every size; a face may be found at several."""
    longest = max(pixels.shape[-2:])
    for target in SIDES:
        if target > max(longest, SIDE):
            return
        rows, columns = (max(round(side * target / longest), 1) for side in pixels.shape[-2:])
        values = imresize(pixels, size=(rows, columns))[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
        margin = TILE_MARGIN if target > SIDE else 0
        for tile in tiles(rows, columns, SIDE - 2 * margin, margin):
            canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
            part = values[tile.rows.read, tile.columns.read]
            canvas[: part.shape[0], : part.shape[1]] = part
            for row in detect(canvas).astype(float):
                row[[0, *range(4, 14, 2)]] += tile.columns.low
                row[[1, *range(5, 14, 2)]] += tile.rows.low
                x, y = row[0] + row[2] / 2, row[1] + row[3] / 2
                if tile.columns.start <= x < tile.columns.stop and tile.rows.start <= y < tile.rows.stop:
                    face = _make_face(row).scaled(longest / target)
                    if _has_square(face):
                        yield face


def _make_face(row: np.ndarray) -> Face:
    """Return the face of a row of `YuNet`, (15,)."""
    left, top, width, height, *points, score = row.tolist()
    eyes_nose_mouth = list(zip(points[::2], points[1::2], strict=True))
    del eyes_nose_mouth[2]
    return Face(Landmarks(*eyes_nose_mouth), score, (left, top, width, height))


def _has_square(face: Face) -> bool:
    """Whether the landmarks are those of a face; those of a false detection may not be."""
    try:
        return face.square.side >= 1
    except InputError:
        return False


def _remove_duplicates(faces: Iterable[Face]) -> list[Face]:
    """Return the faces without those that cover a face with a better score."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(_overlap(face, other) <= COVERED for other in kept):
            kept.append(face)
    return kept


def _overlap(one: Face, other: Face) -> float:
    """Return the fraction of the smaller box that lies in the larger one."""
    assert one.box is not None
    assert other.box is not None
    common, areas = 1.0, [one.box[2] * one.box[3], other.box[2] * other.box[3]]
    for axis in (0, 1):
        stop = min(box[axis] + box[axis + 2] for box in (one.box, other.box))
        common *= max(stop - max(one.box[axis], other.box[axis]), 0)
    return common / min(areas) if min(areas) > 0 else 1
