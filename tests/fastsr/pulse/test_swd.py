import pytest
import torch
from torch.nn import functional as F

from fastsr.pulse.swd import SlicedWasserstein


def pictures(seed, side=8, noise=0.5):
    """Random ones with structures of 32 over a side and with fine ones, (16, 3, 32, 32)."""
    random = torch.Generator().manual_seed(seed)
    coarse, fine = (torch.rand(16, 3, each, each, generator=random) for each in (side, 32))
    return F.interpolate(coarse, size=32, mode="bicubic") + noise * fine


@pytest.fixture(scope="module")
def distances():
    """Distances from such pictures."""
    return SlicedWasserstein(pictures(0)).distances


def test_the_same_pictures_are_no_distance_away(distances):
    assert distances(pictures(0)) == {32: 0, 16: 0}


def test_levels_tell_what_is_wrong(distances):
    others, smooth, coarse = (distances(pictures(1, *change)) for change in ((), (8, 0.0), (2,)))
    assert smooth[32] > 1.6 * others[32]
    assert smooth[16] < 1.6 * others[16]
    assert coarse[16] > 1.6 * others[16]
    assert coarse[32] < 1.6 * others[32]
