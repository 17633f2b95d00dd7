"""Truncation, and mixing of styles."""

import torch

from fastsr.pulse.latents import mean_latent, mix, truncate

LATENTS = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
MEAN = torch.tensor([1.0, 2.0, 3.0, 4.0])


def test_the_mean_latent_is_that_of_the_draws():
    found = mean_latent(lambda z: z + MEAN, 4, draws=10_000)
    torch.testing.assert_close(found, MEAN, rtol=0, atol=0.05)
    assert not torch.equal(found, mean_latent(lambda z: z + MEAN, 4, draws=10_000, seed=1))


def test_truncation_moves_the_first_rows_towards_the_mean():
    torch.testing.assert_close(truncate(LATENTS, MEAN, 1.0), LATENTS)
    torch.testing.assert_close(truncate(LATENTS, MEAN, 0.0), MEAN.expand(2, 6, 4))
    moved = truncate(LATENTS, MEAN, 0.7, cutoff=2)
    torch.testing.assert_close(moved[:, :2], MEAN + 0.7 * (LATENTS[:, :2] - MEAN))
    assert torch.equal(moved[:, 2:], LATENTS[:, 2:])


def test_mixing_takes_the_first_rows_from_one_and_the_last_from_the_other():
    mixed = mix(LATENTS[:1], LATENTS[1:], 2)
    assert torch.equal(mixed, torch.cat([LATENTS[:1, :2], LATENTS[1:, 2:]], 1))
    assert torch.equal(mix(LATENTS[:1], LATENTS[1:], 0), LATENTS[1:])
    assert torch.equal(mix(LATENTS[:1], LATENTS[1:], 6), LATENTS[:1])
