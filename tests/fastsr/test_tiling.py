"""Tiles give what the whole picture gives, also when memory runs out on the way."""

import pytest
import torch
from torch.nn import functional as F

from fastsr.errors import NotEnoughMemoryError
from fastsr.tiling import in_tiles, is_out_of_memory, spans, tiles

REACH = 2


def blur(x):
    """Enlarge by 2 what a 5x5 mean with zeros around makes of (1, 1, H, W)."""
    return F.interpolate(F.avg_pool2d(x, 5, 1, REACH), scale_factor=2, mode="nearest")


def run(part, tile):
    return blur(part)[..., tile.rows.placed(2, tile.rows.low), tile.columns.placed(2, tile.columns.low)]


def tiled(x, run=run, limit=16, reach=REACH, **options):
    return in_tiles(x, run, channels=1, magnification=2, reach=reach, limit=limit, **options)


@pytest.mark.parametrize(("length", "limit"), [(1, 16), (16, 16), (17, 16), (100, 16), (33, 7), (5, 1)])
def test_spans_cover_an_axis_once_and_read_around(length, limit):
    found = spans(0, length, limit, REACH, length)
    assert [span.start for span in found] == [0, *(span.stop for span in found[:-1])]
    assert found[-1].stop == length
    sizes = {span.stop - span.start for span in found}
    assert max(sizes) <= limit
    assert max(sizes) - min(sizes) <= 1
    assert len(found) == -(-length // limit)
    assert all(span.low == max(span.start - REACH, 0) for span in found)
    assert all(span.high == min(span.stop + REACH, length) for span in found)


@pytest.mark.parametrize("limit", [3, 8, 40])
def test_tiles_are_the_whole(limit):
    x = torch.rand(1, 1, 30, 37)
    assert torch.allclose(tiled(x, limit=limit), blur(x), atol=1e-7)


def test_a_shorter_reach_shows():
    x = torch.rand(1, 1, 30, 37)
    assert (tiled(x, limit=8, reach=REACH - 1) - blur(x)).abs().max() > 1e-3


def test_no_more_than_a_tile_and_its_surroundings_is_read():
    seen = []

    def watch(part, tile):
        seen.append(part.shape[-2:])
        return run(part, tile)

    tiled(torch.rand(1, 1, 50, 50), watch)
    assert len(seen) == 16
    assert max(max(size) for size in seen) <= 16 + 2 * REACH


def test_progress_counts_every_pixel_once():
    done = []
    tiled(torch.rand(1, 1, 30, 37), limit=8, report=done.append)
    assert len(done) == len(tiles(30, 37, 8, REACH)) == 20
    assert sum(done) == 30 * 37


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_where_memory_runs_out_tiles_are_halved_and_it_goes_on(error):
    sizes, done = [], []

    def tight(part, tile):
        sizes.append(tile.rows.stop - tile.rows.start)
        if len(sizes) > 1 and max(part.shape[-2:]) > 24:  # after the first tile, as if something else took memory
            raise error
        return run(part, tile)

    x = torch.rand(1, 1, 128, 64)
    result = tiled(x, tight, limit=64, report=done.append)
    assert torch.allclose(result, blur(x), atol=1e-7)
    assert sizes == [64, 64, 32, *[16] * 16]
    assert sum(done) == 128 * 64


def test_where_not_even_the_smallest_tile_fits_it_is_an_error():
    def never(part, tile):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(NotEnoughMemoryError, match="a tile of 16x16 pixels does not fit"):
        tiled(torch.rand(1, 1, 64, 64), never, limit=64)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def broken(part, tile):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        tiled(torch.rand(1, 1, 64, 64), broken)


def test_a_lack_of_memory_on_the_cpu_is_known():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)
