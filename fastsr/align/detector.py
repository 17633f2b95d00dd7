"""YuNet (Wu et al., Machine Intelligence Research 20, 2023), run by OpenCV."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import numpy as np

from ..cache import cache_folder, file_name
from ..checksums import Checksum
from ..downloads import fetch_needed
from ..errors import InputError

SIDE = 640
"""Of the pictures that the file of the network is for; some versions of OpenCV take no other."""
LEAST_SCORE = 0.7
OVERLAP = 0.3
"""Of two boxes that overlap by more, as intersection over union, the better one is kept."""
MOST = 5000
"""Boxes before those that overlap are left out."""

_ZOO = "https://media.githubusercontent.com/media/opencv/opencv_zoo/f12e12798e8314f7c074a6656816c048dcc95b7a"
ADDRESS = f"{_ZOO}/models/face_detection_yunet/face_detection_yunet_2023mar.onnx"
"""Its weights, of 232589 bytes, in OpenCV's collection of networks, under the MIT licence."""
CHECKSUM = Checksum("sha256", "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4")


class YuNet:
    """The detector, with its weights.

    Raises:
        InputError: OpenCV is not installed.
        MissingFileError, OutputError: the weights cannot be downloaded or kept.
    """

    def __init__(self) -> None:
        if find_spec("cv2") is None:
            raise InputError("finding faces needs OpenCV; install it with pip install opencv-python-headless")
        import cv2

        path = cache_folder() / file_name(ADDRESS)
        fetch_needed(ADDRESS, path, CHECKSUM, "the face detector")
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # it warns of what was not asked for
        try:
            self._network = cv2.FaceDetectorYN.create(
                str(path), "", (SIDE, SIDE), score_threshold=LEAST_SCORE, nms_threshold=OVERLAP, top_k=MOST
            )
        finally:
            cv2.utils.logging.setLogLevel(level)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Return the faces in a picture.

        Args:
            picture: (640, 640, 3), uint8, RGB.

        Returns:
            (faces, 15), float32: x and y of the upper left corner of the box, its width and height; x and y of the left
            eye, the right eye, the tip of the nose, the left and the right corner of the mouth, left as one sees it;
            and the score.
        """
        _, found = self._network.detect(np.ascontiguousarray(picture[..., ::-1]))
        return np.empty((0, 15), np.float32) if found is None else found


@cache
def yunet() -> YuNet:
    """Return the detector, loaded once."""
    return YuNet()
