"""The check for memorisation: that it finds copies, mirrored, lit otherwise and rough ones, and nothing else."""

import numpy as np
import pytest
import torch

import fastsr
from benchmarks import nearest_faces
from fastsr.sheets import MARGIN, TOP


@pytest.fixture(scope="module")
def portraits():
    """50 pictures that differ in large shapes, as faces do, uint8 (N, 3, 64, 64)."""
    random = torch.Generator().manual_seed(0)
    return fastsr.resize(torch.rand(50, 3, 8, 8, generator=random), 8).mul(255).round().byte()


def test_a_mirrored_copy_is_found_in_both_distances(portraits):
    copies = portraits[3:5].flip(-1)
    for kind in nearest_faces.DISTANCES:
        found = nearest_faces.nearest(copies, portraits, kind)
        assert found.index.tolist() == [53, 54]
        assert found.distance.max() < 1e-3
        assert found.ratio.max() < 1e-3


def test_a_face_in_other_light_is_found_by_the_face_alone(portraits):
    darker = (portraits[7:8].double() * 0.4 + 20).round().byte()
    by_face, by_picture = (nearest_faces.nearest(darker, portraits, kind) for kind in ("face", "picture"))
    assert by_face.index.tolist() == [7]
    assert by_face.ratio.item() < 0.1
    assert by_picture.ratio.item() > 0.5


def test_copies_stand_apart_from_pictures_that_were_never_seen(portraits):
    rows, found = nearest_faces.measure(portraits[:5], portraits[5:10], portraits[10:])
    assert {row["pictures"]: row["count"] for row in rows} == {"made up": 5, "never seen": 5, "copies": 40}
    by = {(row["distance"], row["pictures"]): row for row in rows}
    for kind in nearest_faces.DISTANCES:
        assert by[kind, "copies"]["median_ratio"] < 0.3
        assert by[kind, "never seen"]["least_ratio"] > 0.5
        assert by[kind, "made up"]["least"] == found[kind].distance.min()
    assert nearest_faces.table(rows).splitlines()[2].startswith("| picture | made up | 5 | ")


def test_the_sheet_has_samples_above_their_nearest(portraits):
    samples = portraits[:10]
    training = torch.cat([portraits[20:], samples[9:].flip(-1)])
    found = nearest_faces.nearest(samples, training, "face")
    sheet = torch.from_numpy(np.array(nearest_faces.sheet(samples, training, found)))
    lines = sheet.movedim(2, 0)[:, TOP:, MARGIN:]
    shown = [lines[:, top : top + 128 : 2, :128:2] for top in range(0, 4 * 134, 134)]
    assert torch.equal(shown[0], samples[0])
    assert torch.equal(shown[2], samples[9])  # the copy is the nearest of all
    assert torch.equal(shown[3], samples[9])
