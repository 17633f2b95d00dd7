"""Operators: what they make of a picture, and of which pictures they make what was observed."""

import pytest
import torch

from fastsr.consistency import Downscale
from fastsr.operators import Compose, Identity, Mask, Operator


@pytest.fixture
def known():
    return (torch.rand(1, 1, 6, 8, generator=torch.Generator().manual_seed(1)) > 0.4).double()


def test_mask_keeps_what_is_known(known):
    x = torch.rand(1, 3, 6, 8, dtype=torch.float64)
    assert torch.equal(Mask(known)(x) != 0, known.bool().expand(1, 3, 6, 8))
    assert torch.equal(Mask(known)(x)[..., known[0, 0] > 0], x[..., known[0, 0] > 0])


def test_composed_operators_follow_one_another(known):
    x = torch.rand(1, 3, 24, 32, dtype=torch.float64)
    downscale = Downscale((24, 32), (6, 8))
    assert torch.equal(Compose(downscale, Mask(known))(x), downscale(x) * known)


@pytest.mark.parametrize("name", ["identity", "mask", "downscale", "mask of downscale"])
def test_a_projection_makes_what_was_observed(name, known):
    downscale = Downscale((24, 32), (6, 8))
    operator, size = {
        "identity": (Identity(), (6, 8)),
        "mask": (Mask(known), (6, 8)),
        "downscale": (downscale, (24, 32)),
        "mask of downscale": (Compose(downscale, Mask(known)), (24, 32)),
    }[name]
    assert isinstance(operator, Operator)
    x, origin = torch.rand(2, 1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    y = operator(origin)
    projected = operator.project(x, y)
    torch.testing.assert_close(operator(projected), y, rtol=0, atol=1e-10)
    torch.testing.assert_close(operator.project(projected, y), projected, rtol=0, atol=1e-10)


def test_a_projection_keeps_what_was_not_observed(known):
    x, y = torch.rand(2, 1, 3, 6, 8, dtype=torch.float64)
    unknown = known[0, 0] == 0
    assert torch.equal(Mask(known).project(x, y)[..., unknown], x[..., unknown])


def test_a_plain_function_cannot_project():
    assert not isinstance(lambda x: x, Operator)
