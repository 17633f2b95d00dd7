import math

import pytest
import torch

from fastsr.errors import NotFiniteError
from fastsr.imresize import imresize
from fastsr.pulse.goals import Goal
from fastsr.pulse.losses import geocross, parse
from fastsr.pulse.search import Settings, search
from fastsr.pulse.starts import draw

LOSS = "100*L2+0.05*GEOCROSS"


class Watched:
    """A generator that keeps what it is given and what it makes."""

    def __init__(self, network, broken_at=None):
        self.layers = network.layers
        self.pictures, self.latents, self.noises = [], [], []
        self._network, self._broken_at = network, broken_at

    def __call__(self, latents, noises):
        made = self._network(latents, noises)
        self.pictures.append(made.detach().clone())
        self.latents.append(latents.detach().clone())
        self.noises.append([noise.detach().clone() for noise in noises])
        return made * math.nan if len(self.pictures) == self._broken_at else made


def settings(**changes):
    usual = {"steps": 30, "eps": 1e-9, "optimizer": "adam", "learning_rate": 0.4, "schedule": "linear1cycledrop"}
    return Settings(**{**usual, "loss": parse(LOSS), **changes})


def begin(checkpoint, seeds=(0,), **options):
    given = {"tile_latent": False, "noise": "trainable", "trainable_noise": 5, **options}
    return draw(checkpoint.network, seeds, **given)


@pytest.fixture
def goal(small):
    """A picture that the generator itself can make."""
    network, fit = small().network, small().fit
    start = begin(small(), [99], tile_latent=True)
    made = network(fit.latents(start.z).expand(-1, network.layers, -1), start.noises)
    return Goal(imresize(((made + 1) / 2).clamp(0, 1), size=(4, 4)), None, 16)


def run(checkpoint, goal, start, **changes):
    generator = Watched(checkpoint.network, changes.pop("broken_at", None))
    *_, state = search(generator, checkpoint.fit, goal, start, settings(**changes))
    pictures = [((made + 1) / 2).clamp(0, 1) for made in generator.pictures]
    size = tuple(goal.pixels.shape[-2:])
    errors = [(imresize(one, size=size) - goal.pixels[:1]).square().mean((1, 2, 3)).tolist() for one in pictures]
    return state, generator, pictures, errors


def test_it_reaches_eps_and_ends(small, goal):
    state, _, pictures, errors = run(small(), goal, begin(small()), steps=100, eps=2e-3)
    assert state.reached.tolist() == [True]
    assert state.step == len(pictures) < 100
    assert errors[-1][0] <= 2e-3 < min(errors[:-1])[0]
    assert state.best.step.tolist() == [state.step]
    assert state.l2.item() == pytest.approx(errors[-1][0], rel=1e-4)


def test_the_best_is_kept_and_not_the_last(small, goal):
    state, generator, pictures, errors = run(small(), goal, begin(small()), learning_rate=4.0, schedule="fixed")
    assert len(pictures) == state.step == 30
    best = min(range(30), key=lambda step: errors[step])
    assert best != 29
    assert state.best.step.tolist() == [best + 1]
    torch.testing.assert_close(state.best.image, pictures[best])
    latents = small().fit.latents(state.best.z).expand(-1, 6, -1)
    assert torch.equal(latents, generator.latents[best])
    for kept, given in zip(state.best.noises, generator.noises[best], strict=False):
        assert torch.equal(kept, given)


def test_the_best_start_of_each_picture_is_kept(small, goal):
    state, _, pictures, errors = run(small(), goal, begin(small(), [0, 1, 2]), steps=5)
    step, start = min(((step, start) for step in range(5) for start in range(3)), key=lambda at: errors[at[0]][at[1]])
    assert (state.best.step.item(), state.best.start.item()) == (step + 1, start)
    torch.testing.assert_close(state.best.image[0], pictures[step][start])


def test_of_starts_that_reach_eps_at_once_that_with_the_least_loss_is_kept(small, goal):
    seeds = [0, 1, 2, 3]
    state, generator, pictures, errors = run(small(), goal, begin(small(), seeds), eps=0.5)
    assert len(pictures) == 1
    assert max(errors[0]) <= 0.5
    assert state.best.start.item() == geocross(generator.latents[0]).argmin().item()
    assert state.best.start.item() != min(seeds, key=lambda seed: errors[0][seed])


@pytest.mark.parametrize(("noise", "moved"), [("zero", 0), ("fixed", 0), ("trainable", 2)])
def test_only_trainable_maps_change(noise, moved, small, goal):
    start = begin(small(), noise=noise, trainable_noise=2)
    _, generator, _, _ = run(small(), goal, start, steps=3)
    for index, (given, before) in enumerate(zip(generator.noises[-1], start.noises, strict=True)):
        assert torch.equal(given, before) == (index >= moved)
    assert not generator.noises[-1][-1].any()


def test_a_tiled_row_is_that_of_all_layers(small, goal):
    _, generator, _, _ = run(small(), goal, begin(small(), tile_latent=True), steps=3)
    assert torch.equal(generator.latents[-1], generator.latents[-1][:, :1].expand(-1, 6, -1))
    assert not torch.equal(generator.latents[-1], generator.latents[0])


def test_steps_that_are_not_finite_are_named(small, goal):
    with pytest.raises(NotFiniteError, match="in step 4 of 30 is not finite"):
        run(small(), goal, begin(small()), broken_at=4)


def test_gradients_may_be_off(small, goal):
    checkpoint = small()
    expected = run(checkpoint, goal, begin(checkpoint), steps=3)[0].best.image
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert torch.equal(run(checkpoint, goal, begin(checkpoint), steps=3)[0].best.image, expected)
