"""Faces cut out of pictures, and put back."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from fastsr.align import Face, Landmarks, align, paste
from fastsr.errors import InputError, InputTypeError


def face_at(x, y, side, degrees):
    """A face whose square has this centre, side and angle."""
    angle, distance = math.radians(degrees), side / 3.6  # from eyes to mouth

    def point(across, down):
        return (
            x + distance * (across * math.cos(angle) - (down - 0.1) * math.sin(angle)),
            y + distance * (across * math.sin(angle) + (down - 0.1) * math.cos(angle)),
        )

    return Face(Landmarks(point(-0.4, 0), point(0.4, 0), point(-0.3, 1), point(0.3, 1)))


def waves(x, y):
    """A smooth picture of three channels, at any place."""
    return torch.stack([0.5 + 0.4 * torch.sin(x / 9 + c) * torch.cos(y / 11 - c) for c in range(3)])


def picture(height, width, ratio=1.0):
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return waves(x / ratio, y / ratio)


def expected(face, side):
    """The same waves, seen in the square."""
    (x, y), (across, down) = face.square.centre, face.square.half
    v, u = torch.meshgrid(*[(torch.arange(side) + 0.5) / side * 2 - 1] * 2, indexing="ij")
    return waves(x + u * across - v * down, y + u * down + v * across)


@pytest.mark.parametrize(("side", "degrees"), [(64, 0), (64, 27), (64, -100), (16, 12), (90, 5)])
def test_a_face_is_cut_out_where_it_is_at_any_angle_and_size(side, degrees):
    face = face_at(70.3, 61.8, 64, degrees)
    assert (face.square.side, face.square.angle) == (pytest.approx(64), pytest.approx(degrees))
    torch.testing.assert_close(align(picture(120, 140), face, side), expected(face, side), atol=0.012, rtol=0)


def test_a_square_of_whole_pixels_is_cut_out_as_it_is():
    img = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(align(img, face_at(20, 16, 24, 0), 24), img[:, 4:28, 8:32], atol=1e-5, rtol=0)


def test_a_picture_is_mirrored_where_the_square_leaves_it():
    img = torch.rand(1, 40, 40, generator=torch.Generator().manual_seed(0))
    mirrored = torch.cat([img[:, :8].flip(1), img], 1)
    torch.testing.assert_close(align(img, face_at(20, 12, 40, 0), 40), mirrored[:, :40], atol=1e-5, rtol=0)


def test_fine_detail_is_averaged_and_not_skipped():
    stripes = (torch.arange(256) % 2).float().expand(3, 256, 256)
    assert (align(stripes, face_at(128, 128, 200, 3), 20) - 0.5).abs().max() < 0.03


def test_the_kind_of_picture_and_its_transparency_stay():
    values = np.full((60, 60, 4), 200, np.uint8)
    values[:, 30:, 3] = 0
    made = align(Image.fromarray(values), face_at(30, 30, 30, 0), 30)
    assert (made.mode, made.size) == ("RGBA", (30, 30))
    assert np.asarray(made)[:, :14].min() == 200
    assert np.asarray(made)[:, 16:, 3].max() == 0


@pytest.mark.parametrize("degrees", [0, 31, 170])
def test_what_was_cut_out_goes_back_to_where_it_was(degrees):
    img, face = picture(120, 140), face_at(55.4, 62.7, 70, degrees)
    back = paste(img, face, align(img, face, 80))
    torch.testing.assert_close(back, img, atol=0.006, rtol=0)
    changed = paste(img, face, 1 - align(img, face, 80)) != img
    y, x = torch.meshgrid(torch.arange(120) + 0.5 - 62.7, torch.arange(140) + 0.5 - 55.4, indexing="ij")
    angle = math.radians(degrees)
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    furthest = torch.maximum(u.abs(), v.abs()) / 35
    assert not changed[:, furthest > 1].any()
    inverted = paste(img, face, 1 - align(img, face, 80))
    inner = furthest < 0.79
    torch.testing.assert_close(inverted[:, inner], 1 - img[:, inner], atol=0.01, rtol=0)
    edge = (furthest > 0.97) & (furthest < 1)
    torch.testing.assert_close(inverted[:, edge], img[:, edge], atol=0.06, rtol=0)


def test_a_larger_result_is_reduced_or_meets_an_enlarged_picture():
    img, face = picture(60, 60), face_at(30.2, 30.6, 30, 10)
    result = expected(face, 120)
    torch.testing.assert_close(paste(img, face, result), img, atol=0.012, rtol=0)
    stripes = (torch.arange(120) % 2).float().expand(3, 120, 120)
    assert (paste(img, face, stripes)[:, 22:40, 22:38] - 0.5).abs().max() < 0.05
    large = picture(240, 240, ratio=4)
    torch.testing.assert_close(paste(large, face.scaled(4), result), large, atol=0.002, rtol=0)


def test_a_picture_says_what_was_pasted_into_it():
    photo, made = Image.new("RGB", (40, 40)), Image.new("RGB", (20, 20))
    made.info["comment"] = "Nobody."
    assert paste(photo, face_at(20, 20, 20, 0), made).info["comment"] == "Nobody."
    assert "comment" not in paste(photo, face_at(20, 20, 20, 0), Image.new("RGB", (20, 20))).info


def test_a_face_outside_the_picture_changes_nothing():
    img = picture(40, 40)
    assert torch.equal(paste(img, face_at(200, 200, 30, 5), torch.zeros(3, 30, 30)), img)


def test_what_is_pasted_onto_nothing_becomes_visible():
    img, alpha = torch.full((3, 40, 40), 0.25), torch.zeros(1, 40, 40)
    made = paste(torch.cat([img, alpha]), face_at(20, 20, 30, 0), torch.full((3, 30, 30), 0.75))
    assert made[3, 20, 20] == 1
    torch.testing.assert_close(made[:3, 20, 20], torch.full((3,), 0.75))
    torch.testing.assert_close(made[:3, 20, 6], torch.full((3,), 0.75), atol=1e-5, rtol=0)
    assert 0 < made[3, 20, 6] < 0.5
    assert (made[3, :5] == 0).all()


def test_what_cannot_be_used_is_named():
    img, face = picture(40, 40), face_at(20, 20, 20, 0)
    with pytest.raises(InputError, match="side=0 leaves nothing"):
        align(img, face, 0)
    with pytest.raises(InputTypeError, match=r"side=8\.5 is a float"):
        align(img, face, 8.5)
    with pytest.raises(InputError, match="img is a batch of 2 pictures"):
        align(torch.zeros(2, 3, 40, 40), face, 8)
    with pytest.raises(InputError, match="result has 9x8 pixels"):
        paste(img, face, torch.zeros(3, 8, 9))
    with pytest.raises(InputError, match="result has 1 channels and img 3"):
        paste(img, face, torch.zeros(1, 8, 8))
