"""fastsr.pulse as a user calls it."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

import fastsr
from fastsr.consistency import agree
from fastsr.errors import InputError, InputTypeError
from fastsr.images import Picture, read
from fastsr.imresize import imresize
from fastsr.pulse.arguments import check_options
from fastsr.pulse.call import NOTE, search_pictures
from fastsr.pulse.goals import Goal
from fastsr.pulse.inference import Searcher

QUICK = {"device": "cpu", "dtype": "float32", "steps": 3}


def face(img, **options):
    return fastsr.pulse(img, **{"progress": False, **QUICK, **options})


def picture(*shape, seed=6):
    """Colours that are neither black nor white."""
    return 0.25 + 0.5 * torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def straight(checkpoint, x, **options):
    """What is found for (C, h, w)."""
    return Searcher(check_options(weights=checkpoint, **{**QUICK, **options}))(Goal(x[None], None, 16))[0].image


class Patches:
    """A generator of one's own, without noise maps: squares of 4x4, whose colours a latent row says."""

    resolution, layers, latent, noise_sides = 8, 4, 6, ()

    def mapping(self, z):
        return torch.nn.functional.leaky_relu(z, 0.2)

    def __call__(self, latents, noises):
        patches = torch.tanh(latents[..., :3]).unflatten(1, (2, 2)).permute(0, 3, 1, 2)
        return patches.repeat_interleave(4, -1).repeat_interleave(4, -2)


def test_the_result_is_what_was_found(small):
    checkpoint, x = small(), picture(3, 4, 4)
    result = face(x, factor=4, weights=checkpoint)
    assert result.shape == (3, 16, 16)
    assert torch.equal(result, straight(checkpoint, x))


def test_the_caller_s_default_dtype_does_not_matter(weights, other_default):
    x, options = picture(3, 4, 4), {"factor": 4, "weights": weights, "loss": "L2+GEOCROSS", "steps": 10}
    expected = face(x, **options)
    with other_default():
        assert torch.equal(face(x, **options), expected)


@pytest.mark.parametrize(
    "option",
    [
        {"seed": 1},
        {"steps": 2},
        {"restarts": 3},
        {"optimizer": "adamax"},
        {"learning_rate": 0.1},
        {"schedule": "fixed"},
        {"loss": "L1"},
        {"tile_latent": True},
        {"noise": "zero"},
        {"noise": "fixed"},
        {"trainable_noise": 1},
    ],
    ids=str,
)
def test_what_is_asked_for_is_done(option, small):
    checkpoint, x = small(), picture(3, 4, 4)
    result = face(x, weights=checkpoint, **option)
    assert torch.equal(result, straight(checkpoint, x, **option))
    assert not torch.equal(result, straight(checkpoint, x))


def test_weights_may_be_a_path(small, weights):
    x = picture(3, 4, 4)
    assert torch.equal(face(x, weights=str(weights)), face(x, weights=small()))


def test_a_generator_may_be_of_ones_own():
    x = picture(3, 2, 2)
    with pytest.warns(RuntimeWarning, match="has no Gaussian fit"):
        result = face(x, weights=Patches(), steps=100, loss="100*L2", eps=1e-3)
    assert result.shape == (3, 8, 8)
    assert (imresize(result, size=(2, 2)) - x).square().mean() <= 1e-3


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((4, 4), np.uint8),
        ((4, 4, 3), np.uint16),
        ((4, 4, 4), np.uint8),
        ((4, 4, 3), np.float32),
        ((2, 4, 4, 3), np.float64),
    ],
)
def test_kind_and_dtype_survive(shape, dtype, small):
    values = picture(*shape).numpy()
    x = (values * np.iinfo(dtype).max).astype(dtype) if np.issubdtype(dtype, np.integer) else values.astype(dtype)
    result = face(x, weights=small(), consistency=True)
    assert isinstance(result, np.ndarray)
    assert result.dtype == dtype
    assert result.shape == ((2, 16, 16, 3) if len(shape) == 4 else (16, 16, *shape[2:]))


def test_a_list_gives_a_list_in_its_order(small):
    checkpoint = small()
    given = [picture(3, 4, 4), picture(2, 3, 4, 4, seed=1), picture(1, 5, 5), picture(3, 4, 4, seed=2)]
    results = face(given, weights=checkpoint)
    assert [tuple(one.shape) for one in results] == [(3, 16, 16), (2, 3, 16, 16), (1, 16, 16), (3, 16, 16)]
    for one, result in zip(given, results, strict=True):
        torch.testing.assert_close(result, face(one, weights=checkpoint), rtol=0, atol=1e-3)


def test_an_iterator_is_read_as_far_as_is_searched_for_at_once(small):
    read_so_far = []

    def images() -> Iterator[torch.Tensor]:
        for seed in range(4):
            read_so_far.append(seed)
            yield picture(3, 4, 4, seed=seed)

    results = face(images(), weights=small(), batch=2)
    assert not read_so_far
    next(results)
    assert read_so_far == [0, 1, 2]
    assert len(list(results)) == 3


def test_what_comes_before_an_error_is_done(small):
    results = face(iter([picture(3, 4, 4), picture(3, 4, 5)]), weights=small())
    assert next(results).shape == (3, 16, 16)
    with pytest.raises(InputError, match=r"img\[1\] is 5x4 pixels"):
        next(results)


def test_in_a_list_errors_come_first(small):
    called = []
    with pytest.raises(InputError, match=r"img\[1\] is 16x16 pixels"):
        face([picture(3, 4, 4), picture(3, 16, 16)], weights=small(), callback=called.append)
    assert not called


def test_it_agrees_where_that_is_asked_for(small):
    checkpoint, x = small(), picture(3, 4, 4)
    result = face(x, weights=checkpoint, consistency=True)
    assert torch.equal(result, agree(straight(checkpoint, x)[None], x[None])[0])


def test_alpha_is_enlarged_and_what_is_invisible_does_not_count(small):
    x = picture(4, 4, 4)
    x[3] = 1
    x[3, :, :2] = 0
    other = x.clone()
    other[:3, :, :2] = 0.9
    result = face(x, weights=small())
    torch.testing.assert_close(result[3:], imresize(x[3:], size=(16, 16)).clamp(0, 1))
    assert torch.equal(face(other, weights=small()), result)
    assert result[:3, :, 12:].std() > 0.01


def test_grey_stays_grey(small):
    x = picture(1, 4, 4)
    assert torch.equal(face(x, weights=small()), straight(small(), x))


def test_gradients_and_inference_mode_do_not_matter(small):
    x = picture(3, 4, 4)
    expected = face(x, weights=small())
    assert torch.equal(face(x.clone().requires_grad_(), weights=small()), expected)
    with torch.inference_mode():
        assert torch.equal(face(picture(3, 4, 4), weights=small()), expected)


def test_the_callback_sees_the_best_so_far(small):
    seen = []

    def look(step, image, info):
        errors = (imresize(image, size=(4, 4)) - x[info.first : info.first + len(image)]).square().mean((1, 2, 3))
        torch.testing.assert_close(info.l2, errors)
        seen.append((step, info.first, len(image), info.reached.tolist()))

    x = picture(3, 3, 4, 4)
    result = face(x, weights=small(), batch=2, callback=look)
    assert [(step, first, count) for step, first, count, _ in seen] == [
        (step, first, count) for first, count in ((0, 2), (2, 1)) for step in (1, 2, 3)
    ]
    assert result.shape == (3, 3, 16, 16)


def test_what_is_found_is_reported_for_each_picture(small):
    checkpoint = small()
    options = check_options(weights=checkpoint, **{**QUICK, "steps": 20, "eps": 0.2})
    images = [(picture(2, 3, 4, 4), "one"), (picture(3, 5, 5), "two")]
    found = list(search_pictures(images, options, progress=False))
    assert [len(one.faces) for one in found] == [2, 1]
    for (x, _), one in zip(images, found, strict=True):
        for pixels, made, own in zip(
            x.view(-1, 3, *x.shape[-2:]), one.result.view(-1, 3, 16, 16), one.faces, strict=True
        ):
            assert torch.equal(made, own.image)
            error = (imresize(made, size=tuple(pixels.shape[-2:])) - pixels).square().mean().item()
            assert own.l2 == pytest.approx(error, rel=1e-4)
            assert own.reached == (error <= 0.2)


def test_a_file_says_that_the_face_is_invented(small, tmp_path):
    Image.new("RGB", (4, 4), (90, 99, 120)).save(tmp_path / "a.png")
    result = face(tmp_path / "a.png", weights=small())
    assert (result.size, result.mode) == ((16, 16), "RGB")
    fastsr.save(result, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert NOTE in image.info.values()
    assert "identifies nobody" in NOTE
    assert type(face(read(picture(3, 4, 4)), weights=small())) is Picture


def test_bad_arguments_are_named(small):
    with pytest.raises(InputTypeError, match="callback=3 cannot be called"):
        face(picture(3, 4, 4), weights=small(), callback=3)
    with pytest.raises(InputError, match="factor=2 makes 8"):
        face(picture(3, 4, 4), factor=2, weights=small())


class _Screen:
    """Stands in for a terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


def test_the_bar_ends_where_the_search_does(small, monkeypatch):
    screen = _Screen()
    monkeypatch.setattr("sys.stderr", screen)
    face([picture(3, 4, 4), picture(1, 5, 5)], weights=small(), steps=4, eps=0.5, progress=True)
    assert "pulse: 100%" in screen.text
    assert "2/2" in screen.text  # each was found in its first step
