import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from fastsr.imresize import imresize
from fastsr.niqe.aggd import fit
from fastsr.niqe.features import count_blocks, measure, mscn


def window():
    line = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)
    return np.outer(line, line) / line.sum() ** 2


def filtered(plane):
    """MSCN coefficients and deviation, as they are defined."""
    mean = correlate(plane, window(), mode="nearest")
    deviation = np.sqrt(np.abs(correlate(plane**2, window(), mode="nearest") - mean**2))
    return (plane - mean) / (deviation + 1), deviation


def one_scale(block):
    """The 18 features of a block of coefficients, one by one."""
    fits = [fit(torch.from_numpy(values.reshape(1, -1))) for values in [block, *pairs(block)]]
    own, *others = [(f.alpha[0], f.mean[0], f.beta_left[0], f.beta_right[0]) for f in fits]
    return np.array([own[0], (own[2] + own[3]) / 2, *[feature for other in others for feature in other]])


def pairs(block):
    """Products with the neighbours to the left, above, and above to the left and to the right; around its border."""
    side = len(block)
    rows, columns = np.indices(block.shape)
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        yield block * block[(rows - down) % side, (columns - right) % side]


def test_coefficients_are_those_of_a_gaussian_window():
    plane = np.floor(np.random.default_rng(0).uniform(0, 256, (40, 50)))
    found, deviation = mscn(torch.from_numpy(plane))
    expected = filtered(plane)
    assert np.abs(found.numpy() - expected[0]).max() < 1e-11
    assert np.abs(deviation.numpy() - expected[1]).max() < 1e-11


def test_features_by_hand(photograph):
    plane = photograph(200, 300)[..., 0].astype(float)
    found = measure(torch.from_numpy(plane))
    assert found.features.shape == (6, 36)
    cut = plane[:192, :288]
    (large, deviation), (small, _) = filtered(cut), filtered(imresize(torch.from_numpy(cut), 0.5).numpy())
    for index, (row, column) in enumerate(np.ndindex(2, 3)):
        tiles = [
            values[row * side : (row + 1) * side, column * side : (column + 1) * side]
            for values, side in ((large, 96), (small, 48), (deviation, 96))
        ]
        expected = np.concatenate([one_scale(tiles[0]), one_scale(tiles[1])])
        assert found.features[index].numpy() == pytest.approx(expected, rel=1e-9)
        assert found.sharpness[index] == pytest.approx(tiles[2].mean(), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_flat_areas_are_exactly_zero_at_both_scales(dtype):
    """Rounding would leave values there whose sign the fit takes for the picture's."""
    plane = torch.full((96, 192), 201.0, dtype=dtype)
    plane[:, 150:] = torch.rand(96, 42, generator=torch.Generator().manual_seed(0)) * 255
    coefficients, _ = mscn(plane)
    assert not coefficients[:, :140].any()
    assert coefficients[:, 150:].all()
    features = measure(plane).features
    assert (features[0].isnan() | (features[0] == torch.tensor(0.2, dtype=dtype))).all()
    assert features[0, 18].item() == pytest.approx(0.2)
    assert not features[1].isnan().any()


def test_blocks_are_whole():
    assert [count_blocks(*size) for size in ((95, 500), (96, 96), (191, 288), (192, 288))] == [0, 1, 3, 6]
