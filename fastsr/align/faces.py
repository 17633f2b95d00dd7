"""A face in an image, and the square around it that FFHQ's images show.

Coordinates are (x, y) in pixels from the upper left corner of the image: the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

from ..checks import input_error, number
from ..errors import InputError

Point = tuple[float, float]
"""(x, y) in pixels."""

OF_EYES, OF_MOUTH = 2.0, 1.8
"""Half the side of the square: times the distance between the eyes, or from eyes to mouth; the larger one counts."""
BELOW_EYES = 0.1
"""The centre of the square, as a fraction of the way from the eyes to the mouth."""


class NoFaceError(InputError):
    """No face was found in an image."""


@dataclass(frozen=True)
class Landmarks:
    """The positions of eyes and mouth; left and right are the viewer's.

    Attributes:
        left_eye, right_eye: the centres of the eyes.
        left_mouth, right_mouth: the corners of the mouth.
    """

    left_eye: Point
    right_eye: Point
    left_mouth: Point
    right_mouth: Point


@dataclass(frozen=True)
class Square:
    """A square in an image, at any angle.

    Attributes:
        centre: the centre of the square.
        half: the vector from the centre to the middle of the right side.
    """

    centre: Point
    half: Point

    @property
    def side(self) -> float:
        """The length of a side, in pixels."""
        return 2 * math.hypot(*self.half)

    @property
    def angle(self) -> float:
        """The clockwise rotation in degrees."""
        return math.degrees(math.atan2(self.half[1], self.half[0]))


@dataclass(frozen=True)
class Face:
    """A face in an image.

    Attributes:
        landmarks: the positions of eyes and mouth.
        score: the detector's confidence, up to 1.
        box: the detector's box: x and y of the upper left corner, width and height; None without a detector.
    """

    landmarks: Landmarks
    score: float = 1.0
    box: tuple[float, float, float, float] | None = None

    def scaled(self, factor: float) -> Face:
        """Return the same face in an image that is `factor` times larger."""
        box = None
        if self.box is not None:
            left, top, width, height = (factor * value for value in self.box)
            box = (left, top, width, height)
        points = ((factor * x, factor * y) for x, y in astuple(self.landmarks))
        return Face(Landmarks(*points), self.score, box)

    @property
    def square(self) -> Square:
        """The square that FFHQ's images show of a face (Karras et al., arXiv 1812.04948, appendix C).

        Its horizontal axis is the mean of the line through the eyes and of the normal of the line from eyes to mouth.
        Its side is 4 times the distance between the eyes or 3.6 times that from eyes to mouth, whichever is larger. Its
        centre is a tenth of the way from the eyes to the mouth.

        Raises:
            InputError: eyes and mouth are at one point, or are not finite, or left and right are swapped.
        """
        marks = self.landmarks
        values = [number("landmarks", value, "numbers") for point in astuple(marks) for value in point]
        eyes, mouth = _middle(marks.left_eye, marks.right_eye), _middle(marks.left_mouth, marks.right_mouth)
        across = (marks.right_eye[0] - marks.left_eye[0], marks.right_eye[1] - marks.left_eye[1])
        down = (mouth[0] - eyes[0], mouth[1] - eyes[1])
        right = (across[0] + down[1], across[1] - down[0])
        length = math.hypot(*right)
        if not all(map(math.isfinite, values)) or length == 0 or across[0] * down[1] <= across[1] * down[0]:
            problem = "are not those of a face: the mouth is below the eyes, and left is the viewer's left"
            raise input_error("landmarks", marks, problem)
        stretch = max(OF_EYES * math.hypot(*across), OF_MOUTH * math.hypot(*down)) / length
        centre = (eyes[0] + BELOW_EYES * down[0], eyes[1] + BELOW_EYES * down[1])
        return Square(centre, (stretch * right[0], stretch * right[1]))


def _middle(one: Point, other: Point) -> Point:
    return (one[0] + other[0]) / 2, (one[1] + other[1]) / 2
