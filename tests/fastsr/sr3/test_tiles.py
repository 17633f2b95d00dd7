"""Tiles: where they lie, and that together they are the whole picture."""

import pytest
import torch
from torch.nn import functional as F

from fastsr.sr3.tiles import OVERLAP, Axis, Tiles, groups, in_tiles, padded

CPU = torch.device("cpu")


@pytest.mark.parametrize("tile", [1, 2, 3, 7, 16])
def test_tiles_cover_an_axis_of_any_length(tile):
    for length in range(1, 3 * tile + 3):
        axis = Axis.cut(length, tile)
        assert axis.tile == min(length, tile)
        assert (axis.starts[0], axis.starts[-1]) == (0, length - axis.tile)
        for one, following in zip(axis.starts, axis.starts[1:], strict=False):
            assert one < following
            assert one + tile - following >= (tile / OVERLAP if tile > 1 else 0)


def test_there_are_no_more_tiles_than_the_overlap_takes():
    assert Axis.cut(16, 16).starts == (0,)
    assert Axis.cut(17, 16).starts == (0, 1)
    assert Axis.cut(28, 16).starts == (0, 12)
    assert Axis.cut(29, 16).starts == (0, 6, 13)
    assert Axis.cut(40, 16).starts == (0, 12, 24)


@pytest.mark.parametrize("tile", [1, 3, 16])
def test_what_all_tiles_say_of_a_pixel_counts_one(tile):
    for length in range(1, 3 * tile + 3):
        axis = Axis.cut(length, tile)
        total = torch.zeros(length, dtype=torch.float64)
        for start, weights in zip(axis.starts, axis.weights(), strict=True):
            assert (weights > 0).all()
            total[start : start + axis.tile] += weights
        assert (total - 1).abs().max() < 1e-12


def test_a_tile_fades_towards_its_border_where_there_is_another():
    first, second = Axis.cut(28, 16).weights()
    assert (first[:12] == 1).all()
    assert (first[12:].diff() < 0).all()
    assert first[-1] < 0.25
    assert torch.equal(first.flip(0), second)


def test_the_tiles_of_a_picture_are_those_of_its_axes():
    tiles = Tiles.cut((28, 16), 16)
    assert len(tiles) == 2
    assert tiles.places == [(slice(0, 16), slice(0, 16)), (slice(12, 28), slice(0, 16))]
    tiles = Tiles.cut((20, 40), 16)
    assert len(tiles) == len(tiles.places) == len(tiles.weights) == 6
    total = torch.zeros(20, 40)
    for (rows, columns), weights in zip(tiles.places, tiles.weights, strict=True):
        total[rows, columns] += weights
    assert (total - 1).abs().max() < 1e-6


def local(condition, noisy, level):
    """A network that sees one pixel around."""
    kernel = torch.arange(1.0, 10.0).view(1, 1, 3, 3).expand(3, 1, 3, 3) / 45
    return F.conv2d(condition * noisy + level[:, None, None, None], kernel, padding=1, groups=3)


def pictures(count, height, width):
    return [torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]


@pytest.mark.parametrize("size", [(20, 16), (16, 33), (24, 40), (48, 48), (37, 29)])
@pytest.mark.parametrize("most", [1, 2, 5, 100])
def test_away_from_the_borders_of_tiles_a_network_that_sees_little_says_the_same(size, most):
    condition, noisy = pictures(2, *size)
    level = torch.tensor([0.3, 0.9])
    tiles = Tiles.cut(size, 16)
    expected = local(condition, noisy, level)
    found = in_tiles(local, tiles, most, CPU)(condition, noisy, level)
    inside = torch.ones(size, dtype=torch.bool)
    for rows, columns in tiles.places:
        for edge in (rows.start, rows.stop - 1):
            inside[edge, columns] = False
        for edge in (columns.start, columns.stop - 1):
            inside[rows, edge] = False
    assert inside.sum() > 20
    assert ((found - expected) * inside).abs().max() < 1e-6
    assert (found - expected).abs().max() > 1e-3


def test_a_pixel_by_pixel_network_says_the_same_everywhere():
    condition, noisy = pictures(3, 45, 52)
    level = torch.tensor([0.3, 0.6, 0.9])

    def says(condition, noisy, level):
        return condition * level[:, None, None, None] - noisy

    found = in_tiles(says, Tiles.cut((45, 52), 16), 4, CPU)(condition, noisy, level)
    assert (found - says(condition, noisy, level)).abs().max() < 1e-6


@pytest.mark.parametrize(("count", "most", "expected"), [(1, 4, [4, 4, 1]), (2, 4, [4, 4, 4, 4, 2]), (3, 2, [3] * 9)])
def test_as_many_tiles_at_once_as_there_may_be(count, most, expected):
    seen = []

    def says(condition, noisy, level):
        seen.append(len(condition))
        assert len(condition) == len(noisy) == len(level)
        assert condition.shape[-2:] == noisy.shape[-2:] == (16, 16)
        return noisy

    in_tiles(says, Tiles.cut((40, 40), 16), most, CPU)(*pictures(count, 40, 40), torch.rand(count))
    assert seen == expected


def test_what_is_one_tile_is_left_to_the_network():
    assert in_tiles(local, Tiles.cut((16, 12), 16), 1, CPU) is local


def test_what_a_network_says_in_bfloat16_is_put_together_in_float32():
    condition, noisy = pictures(1, 40, 40)
    said = in_tiles(lambda *given: torch.ones_like(given[1]).bfloat16(), Tiles.cut((40, 40), 16), 4, CPU)(
        condition, noisy, torch.ones(1)
    )
    assert said.dtype == torch.float32
    assert (said - 1).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("multiple", "least", "size"),
    [(4, 1, (12, 16)), (1, 1, (9, 14)), (4, 16, (16, 16)), (8, 12, (16, 16)), (5, 7, (10, 15))],
)
def test_pictures_are_padded_by_their_last_rows_and_columns(multiple, least, size):
    pixels = torch.rand(2, 3, 9, 14)
    found = padded(pixels, multiple, least)
    assert found.shape == (2, 3, *size)
    assert torch.equal(found[..., :9, :14], pixels)
    assert torch.equal(found[..., 9:, :14], pixels[..., 8:, :].expand(2, 3, size[0] - 8, 14)[..., 1:, :])
    assert torch.equal(found[..., :, 14:], found[..., :, 13:14].expand(2, 3, size[0], size[1] - 14))


def test_groups_are_all_in_their_order():
    assert list(groups(7, 3)) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert list(groups(3, 9)) == [slice(0, 3)]
    assert list(groups(0, 3)) == []
