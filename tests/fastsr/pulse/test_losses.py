import math

import pytest
import torch

from fastsr.errors import InputError, InputTypeError
from fastsr.pulse.losses import LossWeights, geocross, l1, l2, parse, total


def rows(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(dtype)


def pairwise(latents):
    """The geodesic cross loss as the paper has it, pair by pair; a row with itself counts 0."""
    count = latents.shape[1]
    whole = 0
    for one in range(count):
        for other in range(count):
            if one != other:
                x, y = latents[:, one], latents[:, other]
                angle = 2 * torch.atan2((x - y).norm(dim=1), (x + y).norm(dim=1))
                whole = whole + 512 * angle.square() / 8
    return whole / count**2


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_geocross_is_that_of_the_pairs(dtype, close):
    latents = (rows(3, 6, 32, dtype=dtype) + 0.3).requires_grad_()
    value, expected = geocross(latents), pairwise(latents)
    torch.testing.assert_close(value, expected, rtol=close, atol=0)
    gradients = [torch.autograd.grad(x.sum(), latents)[0] for x in (value, expected)]
    torch.testing.assert_close(*gradients, rtol=close, atol=close)


def test_geocross_of_independent_rows_is_as_published():
    # Rows of 512 normally distributed numbers are at right angles: 64 (pi / 2)^2 for 17 of 18 pairs.
    assert geocross(rows(4, 18, 512)).tolist() == pytest.approx([64 * (math.pi / 2) ** 2 * 17 / 18] * 4, rel=0.01)


@pytest.mark.parametrize("scale", [1.0, -1.0, 1 + 1e-7, 0.0])
def test_geocross_has_a_gradient_where_rows_have_one_direction(scale):
    row = rows(2, 1, 16)
    latents = torch.cat([row, scale * row], 1).requires_grad_()
    value = geocross(latents)
    expected = {1.0: 0.0, -1.0: 32 * math.pi**2, 0.0: 64 * (math.pi / 2) ** 2 * 3 / 4}.get(scale, 0.0)
    assert value.tolist() == pytest.approx([expected] * 2, abs=1e-3)
    (gradient,) = torch.autograd.grad(value.sum(), latents)
    assert gradient.isfinite().all()
    if scale >= 1:
        assert not gradient.any()


def test_total_adds_what_is_asked_for():
    difference, latents = rows(2, 3, 4, 4), rows(2, 5, 8)
    value = total(LossWeights(2, 3, 0.5), l2(difference), difference, latents, 1e-3)
    expected = 2 * difference.square().mean((1, 2, 3)) + 30 * difference.abs().mean((1, 2, 3)) + geocross(latents) / 2
    torch.testing.assert_close(value, expected)
    assert torch.equal(l1(difference), 10 * difference.abs().mean((1, 2, 3)))


def test_l2_pulls_no_more_below_eps():
    difference = (0.01 * rows(1, 3, 4, 4)).requires_grad_()
    value = total(LossWeights(100), l2(difference), difference, rows(1, 1, 8), 0.5)
    assert value.item() == 50
    assert not torch.autograd.grad(value, difference)[0].any()


@pytest.mark.parametrize(
    ("loss", "weights"),
    [
        ("100*L2+0.05*GEOCROSS", LossWeights(100, 0, 0.05)),
        (" 1e2 * l2 + GeoCross ", LossWeights(100, 0, 1)),
        ("L1", LossWeights(l1=1)),
        ("L1+2*L2", LossWeights(2, 1)),
    ],
)
def test_loss_strings_are_read(loss, weights):
    assert parse(loss) == weights
    assert parse(str(weights)) == weights
    assert parse(weights) is weights


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("", "'' is no term"),
        ("L3", "'L3' is no term"),
        ("100*L2+", "'' is no term"),
        ("x*L2", "'x' is no number"),
        ("*L2", "'' is no number"),
        ("L2+2*l2", "l2 twice"),
        ("-1*L2", "negative or not finite"),
        ("nan*L2", "negative or not finite"),
        ("0*L2+GEOCROSS", "does not look at the image"),
    ],
)
def test_other_losses_are_refused(loss, message):
    with pytest.raises(InputError, match=message):
        parse(loss)


def test_a_loss_is_a_string_or_weights():
    with pytest.raises(InputTypeError, match="loss=100 is a int"):
        parse(100)
    with pytest.raises(InputTypeError, match=r"loss\.l1='much' is a str"):
        LossWeights(l1="much")
