"""A face in a picture, and the square around it that pictures of FFHQ show.

Coordinates are (x, y) in pixels from the upper left corner of the picture: the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

from ..checks import number
from ..errors import InputError

Point = tuple[float, float]

OF_EYES, OF_MOUTH = 2.0, 1.8
"""Half the side of the square, in distances between the eyes and from eyes to mouth; the larger one counts."""
BELOW_EYES = 0.1
"""How far from the eyes to the mouth its centre is."""


class NoFaceError(InputError):
    """There is no face in a picture, or none that could be found."""


@dataclass(frozen=True)
class Landmarks:
    """Where eyes and mouth are; left is the viewer's, and so is right.

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
    """A square in a picture, at any angle.

    Attributes:
        centre: its middle.
        half: from there to the middle of its right side.
    """

    centre: Point
    half: Point

    @property
    def side(self) -> float:
        """The length of a side, in pixels."""
        return 2 * math.hypot(*self.half)

    @property
    def angle(self) -> float:
        """How far it is turned clockwise, in degrees."""
        return math.degrees(math.atan2(self.half[1], self.half[0]))


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    Attributes:
        landmarks: eyes and mouth.
        score: how sure the detector is, up to 1.
        box: x and y of the upper left corner, width and height, as the detector draws it; None where there was none.
    """

    landmarks: Landmarks
    score: float = 1.0
    box: tuple[float, float, float, float] | None = None

    def scaled(self, factor: float) -> Face:
        """Return the same face in a picture that is `factor` times larger."""
        box = None
        if self.box is not None:
            left, top, width, height = (factor * value for value in self.box)
            box = (left, top, width, height)
        points = ((factor * x, factor * y) for x, y in astuple(self.landmarks))
        return Face(Landmarks(*points), self.score, box)

    @property
    def square(self) -> Square:
        """The square that FFHQ's pictures show of a face (Karras et al., arXiv 1812.04948, appendix C).

        Its sides are parallel and perpendicular to the mean of the line through the eyes and of the normal of that from
        eyes to mouth. Its side is 4 distances between the eyes, or 3.6 from eyes to mouth where that is more. Its
        centre is a tenth of the way from the eyes to the mouth.

        Raises:
            InputError: eyes and mouth are in one place, or are not finite, or left and right are exchanged.
        """
        marks = self.landmarks
        values = [number("landmarks", value, "numbers") for point in astuple(marks) for value in point]
        eyes, mouth = _middle(marks.left_eye, marks.right_eye), _middle(marks.left_mouth, marks.right_mouth)
        across = (marks.right_eye[0] - marks.left_eye[0], marks.right_eye[1] - marks.left_eye[1])
        down = (mouth[0] - eyes[0], mouth[1] - eyes[1])
        right = (across[0] + down[1], across[1] - down[0])
        length = math.hypot(*right)
        if not all(map(math.isfinite, values)) or length == 0 or across[0] * down[1] <= across[1] * down[0]:
            raise InputError(
                f"landmarks={marks} are not those of a face: the mouth is below the eyes, and left is the viewer's left"
            )
        stretch = max(OF_EYES * math.hypot(*across), OF_MOUTH * math.hypot(*down)) / length
        centre = (eyes[0] + BELOW_EYES * down[0], eyes[1] + BELOW_EYES * down[1])
        return Square(centre, (stretch * right[0], stretch * right[1]))


def _middle(one: Point, other: Point) -> Point:
    return (one[0] + other[0]) / 2, (one[1] + other[1]) / 2
