"""The recipes of the paper, and what a recipe may be."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

import fastsr
from fastsr.dip.arguments import check_options
from fastsr.dip.network import HourglassConfig
from fastsr.dip.recipes import HOLE, REGION, TEXT, Recipe, choose
from fastsr.dip.tasks import recipe_for
from fastsr.errors import InputError


def test_the_papers_recipes_are_the_papers():
    noise = choose("denoise", "paper", sigma=25)
    assert (noise.steps, noise.average, noise.guarded, noise.optimizer) == (3000, 0.99, True, "adam")
    assert noise.noise == pytest.approx(1 / 30)
    assert choose("denoise", "paper", sigma=50).noise == pytest.approx(1 / 20)
    assert choose("restore", "paper") == Recipe(HourglassConfig(), steps=11000, learning_rate=0.001, noise=0.03)
    text = HourglassConfig((128,) * 5, skip_channels=128, upsampling="nearest")
    assert choose("inpaint", "paper") == TEXT == Recipe(text, steps=6001, noise=0.03)
    assert choose("inpaint", "paper", wide=True) == HOLE
    assert (HOLE.network.channels, HOLE.network.down_kernel, HOLE.network.mix) == (
        (16, 32, 64, 128, 128, 128),
        5,
        False,
    )
    assert (HOLE.network.skip_channels, HOLE.network.input_channels, HOLE.steps, HOLE.noise) == (0, 1, 3001, 0)
    assert (REGION.network.skip_channels, REGION.network.input_channels, REGION.input) == (0, 2, "grid")
    assert (REGION.steps, REGION.network.upsampling) == (5001, "nearest")


@pytest.mark.parametrize(("width", "recipe"), [(3, TEXT), (23, TEXT), (40, HOLE)])
def test_the_papers_recipe_follows_from_the_mask(width, recipe):
    known = torch.ones(1, 1, 64, 64)
    known[..., 5 : 5 + width, 5 : 5 + width] = 0
    options = check_options(task="inpaint", masked=True, preset="paper")
    assert recipe_for(3, known, options) == recipe


@pytest.mark.parametrize("recipe", [TEXT, REGION, HOLE], ids=["text", "region", "hole"])
def test_every_recipe_of_the_paper_runs(recipe):
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    thin = tuple(min(width, 6) for width in recipe.network.channels)
    network = replace(recipe.network, channels=thin, skip_channels=min(recipe.network.skip_channels, 6))
    mask = np.eye(64, dtype=bool)
    thin_recipe = replace(recipe, network=network)
    result = fastsr.dip(picture, task="inpaint", mask=mask, preset=thin_recipe, steps=3, device="cpu", progress=False)
    assert np.array_equal(result[~mask], picture[~mask])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "sgd"}, r"optimizer='sgd' of a Recipe cannot be used; give 'adam' or 'muon'"),
        ({"steps": 0}, r"steps=0 of a Recipe .* at least 1"),
        ({"average": 1.5}, r"average=1.5 of a Recipe"),
        ({"noise": -0.1}, r"noise=-0.1 of a Recipe"),
        ({"input": "grid"}, r"network.input_channels=32 of a Recipe .* 2 for input='grid'"),
        ({"input": "zeros"}, r"input='zeros' of a Recipe"),
    ],
)
def test_recipes_that_cannot_be_run_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(Recipe(HourglassConfig(channels=(8, 8)), steps=4), **change)


@pytest.mark.parametrize(
    "change", [{"channels": ()}, {"skip_channels": -1}, {"upsampling": "cubic"}, {"down_kernel": 4}], ids=str
)
def test_networks_that_cannot_be_built_are_refused(change):
    ((name, value),) = change.items()
    with pytest.raises(InputError, match=re.escape(f"{name}={value!r} of a HourglassConfig cannot be used")):
        HourglassConfig(**change)
