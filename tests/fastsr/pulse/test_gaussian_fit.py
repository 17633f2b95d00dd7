"""The Gaussian fit against the direct computation."""

import pytest
import torch
from torch.nn import functional as F

from fastsr.errors import InputError
from fastsr.pulse import gaussian_fit
from fastsr.pulse.gaussian_fit import GaussianFit, fit_gaussian


def test_the_fit_is_that_of_all_draws_at_once(small, monkeypatch):
    """In parts of which the last one is smaller."""
    monkeypatch.setattr(gaussian_fit, "CHUNK", 300)
    mapping, parts = small().network.mapping, []
    found = fit_gaussian(mapping, 8, draws=1000, seed=3, progress=parts.append)
    assert parts == [300, 300, 300, 100]
    random = torch.Generator().manual_seed(3)
    z = torch.cat([torch.randn(count, 8, generator=random) for count in parts])
    rows = F.leaky_relu(mapping(z), 5).double()
    torch.testing.assert_close(found.mean.double(), rows.mean(0), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found.std.double(), rows.std(0, correction=0), rtol=1e-6, atol=0)
    assert not found.mean.requires_grad
    assert not torch.equal(found.mean, fit_gaussian(mapping, 8, draws=1000, seed=4).mean)


def test_a_large_mean_hides_no_deviation():
    """The squares of these numbers are 1e14 times as large as their variance: float64 has 16 digits."""
    seen = []

    def mapping(z):
        seen.append(1e7 + z)
        return seen[-1]

    found = fit_gaussian(mapping, 3, draws=3000)
    direct = torch.cat(seen).double().std(0, correction=0)
    torch.testing.assert_close(found.std.double(), direct, rtol=1e-6, atol=0)


def test_a_fit_undoes_what_it_was_found_through():
    """A mapping that is leaky_relu_0.2(2 z - 1) has the mean -1 and the deviation 2, and is what the fit computes."""
    found = fit_gaussian(lambda z: F.leaky_relu(2 * z - 1, 0.2), 4, draws=20_000)
    torch.testing.assert_close(found.mean, torch.full((4,), -1.0), rtol=0, atol=0.06)
    torch.testing.assert_close(found.std, torch.full((4,), 2.0), rtol=0, atol=0.06)
    exact = GaussianFit(torch.full((4,), -1.0), torch.full((4,), 2.0))
    z = torch.randn(2, 3, 4)
    torch.testing.assert_close(exact.latents(z), F.leaky_relu(2 * z - 1, 0.2))
    assert exact.to(torch.device("cpu"), torch.float64).latents(z.double()).dtype == torch.float64


@pytest.mark.parametrize("draws", [-1, 0, 1])
def test_draws_without_a_deviation_are_refused(draws):
    with pytest.raises(InputError, match=f"draws={draws} is out of range; give a whole number of at least 2"):
        fit_gaussian(lambda z: z, 2, draws=draws)
