import numpy as np
import pytest
import torch
from scipy.special import gamma

from fastsr.niqe.aggd import fit

GRID = np.arange(200, 10001) / 1000
RATIOS = gamma(2 / GRID) ** 2 / (gamma(1 / GRID) * gamma(3 / GRID))


def searched(values):
    """The fit of one row, by trying every shape of the grid."""
    left, right = (np.sqrt(np.mean(side**2)) for side in (values[values < 0], values[values > 0]))
    skew = left / right
    ratio = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    alpha = GRID[np.argmin((RATIOS - ratio) ** 2)]
    scale = np.sqrt(gamma(1 / alpha) / gamma(3 / alpha))
    return alpha, left * scale, right * scale


def samples():
    random = np.random.default_rng(0)
    normal = random.normal(size=(12, 500))
    rows = np.sign(normal) * np.abs(normal) ** np.linspace(0.02, 9, 12)[:, None]
    rows[::2] = np.where(rows[::2] < 0, 3 * rows[::2], rows[::2])
    return rows


def test_the_shape_is_the_nearest_of_the_grid():
    rows = samples()
    found = fit(torch.from_numpy(rows))
    expected = np.array([searched(row) for row in rows]).T
    assert {expected[0].min(), expected[0].max()} == {0.2, 10}
    assert np.array_equal(found.alpha, expected[0])
    assert found.beta_left == pytest.approx(expected[1], rel=1e-10)
    assert found.beta_right == pytest.approx(expected[2], rel=1e-10)
    mean = (expected[2] - expected[1]) * gamma(2 / expected[0]) / gamma(1 / expected[0])
    assert found.mean == pytest.approx(mean, rel=1e-10)


def test_float32_is_within_a_few_steps():
    rows = torch.from_numpy(samples())
    exact, found = fit(rows), fit(rows.float())
    assert found.alpha.dtype == torch.float32
    assert (found.alpha - exact.alpha).abs().max() <= 0.0031


def test_rows_of_one_sign_or_none_have_the_first_shape_and_no_scale():
    found = fit(torch.tensor([[0.0, 0, 0], [0, 1, 2], [0, -1, -2]], dtype=torch.float64))
    assert found.alpha.tolist() == [0.2] * 3
    assert found.beta_left.isnan().tolist() == [True, True, False]
    assert found.beta_right.isnan().tolist() == [True, False, True]
    assert bool(found.mean.isnan().all())
