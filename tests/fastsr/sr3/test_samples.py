"""Several samples of one picture."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from fastsr.compare import compare
from fastsr.consistency import project
from fastsr.images import read
from fastsr.metrics import psnr
from fastsr.sr3.samples import Samples


def made(image, count=3):
    """Samples of an image, of colours drawn at random."""
    picture = read(image)
    random = torch.Generator().manual_seed(0)
    there = replace(picture, origin=replace(picture.origin, kind="picture"))
    colours = [torch.rand(*picture.pixels.shape[:2], 8, 10, generator=random) for _ in range(count)]
    alpha = None if picture.alpha is None else torch.ones(len(picture.pixels), 1, 8, 10)
    return Samples(picture, [there.like(one, alpha) for one in colours]), torch.stack(colours)


KINDS = [
    pytest.param(torch.rand(3, 4, 5), (3, 8, 10), (1, 8, 10), id="torch"),
    pytest.param(torch.rand(1, 4, 5), (1, 8, 10), (1, 8, 10), id="grey torch"),
    pytest.param(torch.rand(4, 4, 5), (4, 8, 10), (1, 8, 10), id="torch with alpha"),
    pytest.param(torch.rand(2, 3, 4, 5), (2, 3, 8, 10), (2, 1, 8, 10), id="torch batch"),
    pytest.param(np.zeros((4, 5), np.uint8), (8, 10), (8, 10), id="grey NumPy"),
    pytest.param(np.zeros((4, 5, 3), np.uint16), (8, 10, 3), (8, 10), id="NumPy"),
    pytest.param(np.zeros((1, 4, 5, 3), np.float32), (1, 8, 10, 3), (1, 8, 10), id="NumPy batch"),
    pytest.param(Image.new("RGB", (5, 4)), (8, 10, 3), (8, 10), id="PIL"),
    pytest.param(Image.new("RGBA", (5, 4)), (8, 10, 4), (8, 10), id="PIL with alpha"),
]


@pytest.mark.parametrize(("image", "shape", "spread_shape"), KINDS)
def test_samples_their_mean_and_their_spread(image, shape, spread_shape):
    samples, colours = made(image)
    assert isinstance(samples, Sequence)
    assert len(samples) == len(samples.images) == 3
    for one in (*samples, samples.mean):
        assert type(one) is type(image)
        assert np.asarray(one).shape == shape
    for index, one in enumerate(samples):
        assert (read(one).pixels - colours[index]).abs().max() <= 0.5 / 255 + 1e-6
    assert (read(samples.mean).pixels - colours.mean(0)).abs().max() <= 0.5 / 255 + 1e-6
    deviation = ((colours - colours.mean(0)) ** 2).mean(0).mean(1).sqrt()
    assert isinstance(samples.spread, torch.Tensor if isinstance(image, torch.Tensor) else np.ndarray)
    assert samples.spread.shape == spread_shape
    assert str(samples.spread.dtype).endswith("float32")
    assert np.abs(np.asarray(samples.spread).reshape(deviation.shape) - deviation.numpy()).max() < 1e-6


def test_indexing():
    samples, _ = made(torch.rand(3, 4, 5))
    assert torch.equal(samples[-1], samples.images[2])
    assert [one.data_ptr() for one in samples[:2]] == [one.data_ptr() for one in samples.images[:2]]
    with pytest.raises(IndexError):
        samples[3]


def test_they_are_taken_where_a_list_of_pictures_is():
    samples, _ = made(torch.rand(3, 4, 5))
    others, low = [torch.rand(3, 8, 10)] * 3, [torch.rand(3, 4, 5)] * 3
    assert psnr(samples, others) == psnr(samples.images, others)
    projected = project(samples, low)
    assert isinstance(projected, list)
    assert all(torch.equal(*pair) for pair in zip(projected, project(samples.images, low), strict=True))


def test_one_sample_has_no_spread_and_is_its_mean():
    samples, colours = made(torch.rand(3, 4, 5), 1)
    assert not samples.spread.any()
    assert torch.equal(samples.mean, colours[0, 0])


@pytest.mark.parametrize("image", [torch.rand(3, 4, 5), np.zeros((2, 4, 5, 4), np.uint8)], ids=["torch", "NumPy batch"])
def test_a_notebook_shows_samples_mean_and_spread(image):
    samples, colours = made(image)
    deviation = colours[:, 0].var(0, correction=0).mean(0).sqrt()
    title = f"spread, white is {255 * float(deviation.max()):.0f} of 255"
    pictures = [*colours[:, 0], colours[:, 0].mean(0), deviation[None] / deviation.max()]
    titles = ["sample 1", "sample 2", "sample 3", "mean", title]
    with Image.open(BytesIO(samples._repr_png_())) as shown:
        assert np.array_equal(shown, compare(*pictures, titles=titles))
    one, colours = made(image, 1)
    with Image.open(BytesIO(one._repr_png_())) as shown:
        assert np.array_equal(shown, compare(colours[0, 0], titles=["sample"]))


def test_the_mean_is_taken_before_colours_are_rounded():
    samples, colours = made(np.zeros((4, 5, 3), np.uint8), 16)
    expected = (colours.mean(0)[0].permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)
    assert np.array_equal(samples.mean, expected)
    assert not np.array_equal(samples.mean, np.mean(samples.images, 0).round().astype(np.uint8))


def test_they_are_told_in_a_line():
    assert repr(made(Image.new("RGB", (5, 4)))[0]) == "<3 samples, 10x8 pixels, kind 'pil'>"
    assert repr(made(torch.rand(2, 3, 4, 5))[0]) == "<3 samples of a batch of 2, 10x8 pixels, kind 'torch'>"
