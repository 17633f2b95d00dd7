"""The square of a face."""

import math

import numpy as np
import pytest

from fastsr.align import Face, Landmarks
from fastsr.errors import InputError

UPRIGHT = Landmarks((40, 30), (60, 30), (42, 55), (58, 55))


def corners(marks):
    """The corners of the published quad, (upper left, lower left, lower right, upper right)."""
    left, right, mouth_left, mouth_right = (
        np.array(point, float) for point in (marks.left_eye, marks.right_eye, marks.left_mouth, marks.right_mouth)
    )
    eyes, across = (left + right) / 2, right - left
    down = (mouth_left + mouth_right) / 2 - eyes
    x = across - np.array([-down[1], down[0]])
    x *= max(np.linalg.norm(across) * 2, np.linalg.norm(down) * 1.8) / np.linalg.norm(x)
    y = np.array([-x[1], x[0]])
    c = eyes + 0.1 * down
    return np.stack([c - x - y, c - x + y, c + x + y, c + x - y])


@pytest.mark.parametrize(
    "marks",
    [
        UPRIGHT,
        Landmarks((40, 30), (90, 33), (42, 55), (80, 61)),  # the distance between the eyes counts
        Landmarks((150.5, 80.25), (131, 99), (120, 61), (108, 75)),  # turned by more than a right angle
        Landmarks((-20, 5), (10, -7), (-5, 40), (12, 30)),  # outside of the picture
    ],
)
def test_the_square_is_that_of_ffhq(marks):
    square, expected = Face(marks).square, corners(marks)
    (x, y), (across, down) = square.centre, square.half
    upper_left, lower_right = (x - across + down, y - down - across), (x + across - down, y + down + across)
    np.testing.assert_allclose([upper_left, lower_right], expected[[0, 2]], atol=1e-9)
    assert square.side == pytest.approx(np.linalg.norm(expected[3] - expected[0]))
    assert square.angle == pytest.approx(math.degrees(math.atan2(*(expected[3] - expected[0])[::-1])))


def test_a_face_in_an_enlarged_picture_has_an_enlarged_square():
    face = Face(UPRIGHT, 0.9, (30, 10, 40, 60)).scaled(2.5)
    assert face.box == (75, 25, 100, 150)
    assert face.score == 0.9
    np.testing.assert_allclose(face.square.centre, [125, 81.25])
    assert face.square.side == pytest.approx(2.5 * Face(UPRIGHT).square.side)


@pytest.mark.parametrize(
    "marks",
    [
        Landmarks((60, 30), (40, 30), (58, 55), (42, 55)),
        Landmarks((40, 30), (60, 30), (42, 5), (58, 5)),
        Landmarks((40, 30), (40, 30), (40, 30), (40, 30)),
        Landmarks((40, 30), (60, math.nan), (42, 55), (58, 55)),
    ],
)
def test_what_is_no_face_has_no_square(marks):
    with pytest.raises(InputError, match="are not those of a face"):
        _ = Face(marks).square
