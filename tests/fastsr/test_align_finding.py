"""Faces found in pictures of any size, by a detector that knows faces of some sizes."""

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import find_objects, label

from fastsr.align import NoFaceError, detector, find_faces, finding
from fastsr.cache import file_name
from fastsr.checksums import Checksum
from fastsr.errors import InputError, MissingFileError

GREEN = (0, 255, 0)


def sees(tile):
    """Take every green square of 16 to 300 pixels for a face; where the tile cuts it, it is one still."""
    assert tile.shape == (640, 640, 3)
    assert tile.dtype == np.uint8
    found = []
    for rows, columns in find_objects(label(tile[..., 1].astype(int) - tile[..., 0] > 130)[0]):
        left, top = columns.start, rows.start
        width, height = columns.stop - left, rows.stop - top
        if 16 <= width <= 300:
            points = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
            marks = [value for x, y in points for value in (left + x * width, top + y * height)]
            found.append([left, top, width, height, *marks, 0.8 + width / 10_000])
    return np.array(found, np.float32).reshape(-1, 15)


@pytest.fixture(autouse=True)
def _detector(monkeypatch):
    monkeypatch.setattr(finding, "yunet", lambda: sees)


def with_faces(height, width, *places):
    img = np.full((height, width, 3), 90, np.uint8)
    for left, top, side in places:
        img[top : top + side, left : left + side] = GREEN
    return img


@pytest.mark.parametrize(
    ("height", "width", "places"),
    [
        (90, 70, [(20, 10, 40)]),  # enlarged
        (600, 500, [(10, 20, 450)]),  # too large but in the smallest of the sizes
        (900, 1500, [(300, 200, 60), (700, 380, 200), (1440, 840, 40)]),
        (700, 2600, [(40, 400, 30), (1250, 300, 30)]),  # too small but in the largest of the sizes
    ],
)
def test_every_face_is_found_once_from_left_to_right(height, width, places):
    faces = find_faces(with_faces(height, width, *places))
    assert len(faces) == len(places)
    for face, (left, top, side) in zip(faces, places, strict=True):
        coarse = max(height, width) / 320  # a pixel of the smallest of the sizes
        np.testing.assert_allclose(face.box, [left, top, side, side], atol=1.5 * coarse)
        np.testing.assert_allclose(
            face.landmarks.right_mouth, [left + 0.65 * side, top + 0.8 * side], atol=1.5 * coarse
        )


def test_transparent_and_grey_pictures_are_looked_at_too():
    img = np.concatenate([with_faces(640, 640, (300, 200, 90)), np.full((640, 640, 1), 255, np.uint8)], 2)
    assert len(find_faces(img)) == 1
    img[..., 3] = 0
    with pytest.raises(NoFaceError, match="no face is found in a picture of 640x640 pixels"):
        find_faces(img)
    with pytest.raises(NoFaceError):
        find_faces(np.zeros((50, 40), np.uint8))


def test_a_batch_is_refused():
    with pytest.raises(InputError, match="img is a batch of 2 pictures"):
        find_faces(torch.zeros(2, 3, 8, 8))


def test_what_can_be_no_face_is_none(monkeypatch):
    monkeypatch.setattr(finding, "yunet", lambda: lambda _: np.array([[9, 9, 20, 20] + [15] * 10 + [0.9]], np.float32))
    with pytest.raises(NoFaceError):
        find_faces(np.zeros((50, 40, 3), np.uint8))


def test_the_detector_is_downloaded_and_given_blue_green_red(web, monkeypatch, tmp_path):
    asked = []

    class Network:
        def detect(self, img):
            asked.append(img)
            return 1, None

    def create(path, config, size, **options):
        assert Path(path).read_bytes() == b"weights"
        assert (config, size) == ("", (640, 640))
        return Network()

    logging = SimpleNamespace(LOG_LEVEL_ERROR=2, setLogLevel=lambda level: 3)
    opencv = SimpleNamespace(
        FaceDetectorYN=SimpleNamespace(create=create), utils=SimpleNamespace(logging=logging), __spec__=object()
    )
    monkeypatch.setitem(sys.modules, "cv2", opencv)
    monkeypatch.setenv("FASTSR_CACHE", str(tmp_path))
    monkeypatch.setattr(detector, "ADDRESS", f"{web.address}/yunet.onnx")
    monkeypatch.setattr(detector, "CHECKSUM", Checksum("sha256", hashlib.sha256(b"weights").hexdigest()))
    web.files["/yunet.onnx"] = b"weights"
    assert detector.YuNet()(np.full((640, 640, 3), (1, 2, 3), np.uint8)).shape == (0, 15)
    assert asked[0][5, 5].tolist() == [3, 2, 1]
    assert asked[0].flags.c_contiguous
    web.files["/yunet.onnx"] = b"others"
    detector.YuNet()  # from the cache
    next(tmp_path.glob("*yunet.onnx")).unlink()
    with pytest.raises(InputError, match=r"the face detector, .* has sha256"):
        detector.YuNet()
    web.files.clear()
    message = (
        rf"detector, .* cannot be downloaded: .*; or download it elsewhere, and copy it to '{tmp_path}/.*yunet.onnx'"
    )
    with pytest.raises(MissingFileError, match=message):
        detector.YuNet()


def test_without_opencv_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match="install it with pip install opencv-python-headless"):
        detector.YuNet()


def test_the_documentation_says_where_the_detector_is_kept():
    page = Path(__file__).parents[2] / "docs" / "weights.md"
    assert f"`{file_name(detector.ADDRESS)}` in the cache folder" in page.read_text()
