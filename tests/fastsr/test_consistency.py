"""The downscale operator, its adjoint and its pseudo-inverse."""

import pytest
import torch

from fastsr.consistency import Downscale

SIZES = [((32, 40), (8, 5)), ((37, 23), (11, 20)), ((12, 12), (8, 8))]


@pytest.mark.parametrize(("large", "small"), SIZES)
@pytest.mark.parametrize("kernel", ["lanczos2", "cubic"])
def test_adjoint(large, small, kernel):
    operator = Downscale(large, small, kernel=kernel)
    x, y = torch.rand(1, 2, *large, dtype=torch.float64), torch.rand(1, 2, *small, dtype=torch.float64)
    assert (operator(x) * y).sum().item() == pytest.approx((x * operator.adjoint(y)).sum().item(), rel=1e-12)


@pytest.mark.parametrize(("large", "small"), SIZES)
def test_pseudo_inverse_is_the_least_norm_solution(large, small):
    operator = Downscale(large, small)
    y = torch.rand(1, 1, *small, dtype=torch.float64)
    x = operator.pseudo_inverse(y)
    torch.testing.assert_close(operator(x), y, rtol=0, atol=1e-10)
    # Any other solution differs by something A does not see, and is longer.
    unseen = torch.rand_like(x)
    unseen = unseen - operator.pseudo_inverse(operator(unseen))
    assert unseen.norm() > 0.1
    assert (x * unseen).sum().abs() < 1e-9


def test_project_moves_to_the_nearest_agreeing_picture():
    operator = Downscale((32, 32), (8, 8))
    x, y = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 8, 8)
    projected = operator.project(x, y)
    assert (operator(projected) - y).abs().max() < 1e-5
    torch.testing.assert_close(operator.project(projected, y), projected, rtol=0, atol=1e-5)
