"""fastsr.srgan as a user calls it."""

import numpy as np
import pytest
import torch
from PIL import Image

import fastsr
from fastsr.consistency import project
from fastsr.errors import DeviceError, FastsrError, InputError, InputTypeError, MissingFileError, NotEnoughMemoryError
from fastsr.images import read
from fastsr.imresize import imresize
from fastsr.srgan import call

QUICK = {"device": "cpu", "dtype": "float32", "progress": False}


def enlarge(img, factor=4, **options):
    return fastsr.srgan(img, factor, **{**QUICK, **options})


def straight(checkpoint, x):
    """What the network makes of (3, H, W)."""
    with torch.no_grad():
        return checkpoint.to_colours(checkpoint.network(checkpoint.to_input(x[None])))[0]


def test_the_result_is_the_network_s(small):
    checkpoint, x = small(), torch.rand(3, 20, 23)
    result = enlarge(x, weights=checkpoint)
    assert result.shape == (3, 80, 92)
    assert (result - straight(checkpoint, x)).abs().max() < 1e-6


def test_weights_may_be_a_path(small, weights):
    x = torch.rand(3, 9, 9)
    for path in (weights, str(weights)):
        assert torch.equal(enlarge(x, weights=path), enlarge(x, weights=small()))


def test_the_caller_s_default_dtype_does_not_matter(weights, other_default):
    x = torch.rand(3, 9, 9)
    expected = enlarge(x, weights=weights)
    with other_default():
        assert torch.equal(enlarge(x, weights=weights), expected)


@pytest.mark.parametrize("factor", [2, 3, 2.7, 1.01])
def test_a_smaller_factor_is_a_matlab_resize_of_the_result(factor, small):
    checkpoint, x = small(), torch.rand(3, 20, 23)
    size = fastsr.resize(x, factor).shape[-2:]
    result = enlarge(x, factor, weights=checkpoint)
    assert result.shape[-2:] == size
    assert (result - imresize(straight(checkpoint, x), size=size).clamp(0, 1)).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((8, 9), np.uint8),
        ((8, 9), np.uint16),
        ((8, 9, 3), np.uint8),
        ((8, 9, 4), np.uint8),
        ((8, 9, 2), np.uint16),
        ((8, 9, 3), np.float32),
    ],
)
def test_kind_and_dtype_survive(shape, dtype, small):
    values = np.random.default_rng(1).random(shape)
    x = (values * np.iinfo(dtype).max).astype(dtype) if dtype != np.float32 else values.astype(dtype)
    result = enlarge(x, 2, weights=small(scale=2))
    assert isinstance(result, np.ndarray)
    assert result.dtype == dtype
    assert result.shape == (16, 18, *shape[2:])


def test_sixteen_bits_are_not_eight(small):
    x = torch.rand(3, 8, 8)
    deep = enlarge((x * 65535).round().to(torch.uint16), weights=small())
    assert (deep.float() / 65535 - enlarge(x, weights=small())).abs().max() < 1e-4


def test_what_is_invisible_does_not_bleed(small):
    x = torch.rand(4, 12, 12)
    x[3] = 1
    x[3, :, 6:] = 0
    other = x.clone()
    other[:3, :, 6:] = 0.5
    first, second = (enlarge(img, weights=small()) for img in (x, other))
    assert first.shape == (4, 48, 48)
    assert torch.equal(first, second)
    assert (first[:, :, :16] - torch.cat([first[:3, :, :16], torch.ones(1, 48, 16)])).abs().max() < 0.2


def test_grey_stays_grey_and_is_the_mean(small):
    checkpoint, x = small(), torch.rand(1, 10, 10)
    assert (enlarge(x, weights=checkpoint) - straight(checkpoint, x.expand(3, -1, -1)).mean(0)).abs().max() < 1e-6
    assert enlarge(Image.new("L", (6, 5), 99), weights=checkpoint).mode == "L"


def test_a_path_gives_a_pil_image_with_its_profile(small, tmp_path):
    Image.new("RGB", (6, 5), (9, 90, 200)).save(tmp_path / "a.png", icc_profile=b"profile", dpi=(300, 300))
    result = enlarge(tmp_path / "a.png", weights=small())
    assert (result.size, result.mode, result.info["icc_profile"]) == ((24, 20), "RGB", b"profile")


def test_batches_and_lists_are_worked_through_one_by_one(small):
    checkpoint, batch = small(), torch.rand(2, 3, 8, 8)
    result = enlarge(batch, weights=checkpoint)
    assert result.shape == (2, 3, 32, 32)
    assert torch.equal(result[1], enlarge(batch[1], weights=checkpoint))
    listed = enlarge([batch[0], [Image.new("L", (6, 5), 99)]], weights=checkpoint)
    assert torch.equal(listed[0], result[0])
    assert listed[1][0].size == (24, 20)


def test_an_iterator_gives_an_iterator_that_reads_no_further_than_asked(small):
    read_so_far = []

    def pictures():
        for index in range(3):
            read_so_far.append(index)
            yield torch.rand(3, 8, 8)

    results = enlarge(pictures(), weights=small())
    assert read_so_far == []
    assert next(results).shape == (3, 32, 32)
    assert read_so_far == [0]
    assert len(list(results)) == 2


def test_an_iterator_s_picture_is_named(small):
    results = enlarge(iter([torch.rand(3, 8, 8), torch.rand(5, 8, 8)]), weights=small())
    next(results)
    with pytest.raises(InputError, match=r"img\[1\] has shape"):
        next(results)


def test_every_picture_of_a_list_is_looked_at_before_the_work(small, monkeypatch):
    def never(*arguments):
        raise AssertionError("worked")

    monkeypatch.setattr(call, "Enlarger", never)
    with pytest.raises(InputError, match=r"img\[1\] has shape"):
        enlarge([torch.rand(3, 8, 8), torch.rand(5, 8, 8)], weights=small())


def test_the_ensemble_is_the_mean_of_eight_views(small):
    checkpoint, x = small(), torch.rand(3, 9, 12)
    views = []
    for flipped in (x, x.flip(-1)):
        for turns in range(4):
            large = torch.rot90(straight(checkpoint, torch.rot90(flipped, turns, (-2, -1))), -turns, (-2, -1))
            views.append(large if flipped is x else large.flip(-1))
    expected = torch.stack(views).mean(0)
    assert len(set(call.VIEWS)) == 8
    assert (views[0] - expected).abs().max() > 1e-3
    assert (enlarge(x, weights=checkpoint, ensemble=True) - expected).abs().max() < 1e-6


def test_the_ensemble_of_a_turned_picture_is_the_turned_ensemble(small):
    checkpoint, x = small(), torch.rand(3, 9, 12)
    results = [enlarge(img, weights=checkpoint, ensemble=True) for img in (x, torch.rot90(x, 1, (-2, -1)))]
    assert (torch.rot90(results[0], 1, (-2, -1)) - results[1]).abs().max() < 1e-6


def test_tiles_change_nothing(small):
    checkpoint, x = small(), torch.rand(3, 50, 40)
    assert (enlarge(x, weights=checkpoint, tile=16) - enlarge(x, weights=checkpoint)).abs().max() < 1e-6


@pytest.mark.parametrize("factor", [4, 2.7])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_consistent_result_s_downscale_is_the_input(factor, channels, small):
    checkpoint, x = small(), imresize(torch.rand(2, channels, 5, 6), 4).clamp(0.2, 0.8)
    size = (x.shape[-2], x.shape[-1])
    plain, result = (enlarge(x, factor, weights=checkpoint, consistency=wanted) for wanted in (False, True))
    assert (fastsr.resize(plain, size=size) - x).abs().max() > 5 / 255
    assert (fastsr.resize(result, size=size) - x).abs().max() < 0.3 / 255
    assert torch.equal(result, project(plain, x))


def test_a_consistent_result_is_rounded_once(small):
    x = (imresize(torch.rand(3, 5, 6), 4).clamp(0.2, 0.8) * 255).round().to(torch.uint8)
    result = enlarge(x, weights=small(), consistency=True)
    assert result.dtype == torch.uint8
    assert torch.equal(fastsr.resize(result.float() / 255, 1 / 4).mul(255).round().to(torch.uint8), x)


def test_transparent_pictures_are_made_to_agree_where_they_are_seen(small):
    x = imresize(torch.rand(4, 5, 6), 4).clamp(0.2, 0.8)
    x[3, :, :8] = 0
    plain, result = (enlarge(x, weights=small(), consistency=wanted) for wanted in (False, True))
    assert torch.equal(result[3], plain[3])
    off = [(fastsr.resize(picture, 1 / 4) - x)[:3, :, 9:].abs().max() for picture in (plain, result)]
    assert off[1] < 2 / 255 < 10 / 255 < off[0]


def test_an_iterator_s_pictures_are_made_to_agree(small):
    x = imresize(torch.rand(3, 5, 6), 4).clamp(0.2, 0.8)
    (result,) = enlarge(iter([x]), weights=small(), consistency=True)
    assert torch.equal(result, enlarge(x, weights=small(), consistency=True))


def test_bfloat16_is_near(small):
    checkpoint, x = small(), torch.rand(3, 16, 16)
    exact, fast = (enlarge(x, weights=checkpoint, dtype=dtype) for dtype in ("float32", "bfloat16"))
    assert 0 < (exact - fast).abs().max() < 0.05


def test_the_picture_given_is_left_alone(small):
    x = torch.rand(3, 10, 10)
    before = x.clone()
    enlarge(x, weights=small(), ensemble=True)
    assert torch.equal(x, before)


def test_one_pixel_is_a_picture(small):
    assert enlarge(torch.rand(3, 1, 1), weights=small()).shape == (3, 4, 4)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("consistency", [True, False])
def test_no_gradient_flows_through_but_the_result_can_be_worked_on(channels, consistency, small):
    img = torch.rand(channels, 8, 8).requires_grad_()
    result = enlarge(img, weights=small(), consistency=consistency)
    assert not result.requires_grad
    result.requires_grad_().sum().backward()
    assert result.grad is not None


class Bar:
    """Counts in place of the bar that is on a terminal."""

    total, done = None, 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def update(self, done):
        self.done += done


@pytest.mark.parametrize("options", [{}, {"tile": 16}, {"ensemble": True}])
def test_the_bar_is_full_at_the_end(options, small, monkeypatch):
    bar, shown = Bar(), []
    monkeypatch.setattr("fastsr.progress.progress_bar", lambda *_, **given: shown.append(given["shown"]) or bar)
    enlarge([torch.rand(3, 8, 9), torch.rand(2, 3, 20, 20)], weights=small(), **options)
    assert bar.total == 8 * 9 + 2 * 20 * 20
    assert bar.done == pytest.approx(bar.total)
    assert shown == [False]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"factor": 1}, InputError, "factor=1 does not enlarge a picture; give a number above 1"),
        ({"factor": float("nan")}, InputError, "factor=nan does not enlarge"),
        ({"factor": "4"}, InputTypeError, "factor='4' is a str"),
        ({"factor": 5}, InputError, r"factor=5 is more than weights='small' can do; give at most 4, or other"),
        ({"tile": 15}, InputError, "tile=15 is too small; give a whole number of at least 16"),
        ({"tile": 32.0}, InputTypeError, "tile=32.0 is a float"),
        ({"consistency": 1}, InputTypeError, "consistency=1 is a int; give True or False"),
        ({"dtype": "float16"}, InputError, "dtype='float16' is not supported"),
        ({"device": "tpu"}, DeviceError, "device='tpu'"),
        ({"weights": "nowhere.pth"}, MissingFileError, "weights='nowhere.pth' is not there"),
        ({"weights": 3}, InputTypeError, "weights is a int"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(options, error, message, small):
    with pytest.raises(error, match=message) as raised:
        enlarge(torch.rand(3, 8, 8), **{"weights": small(), **options})
    assert isinstance(raised.value, FastsrError)


def test_a_picture_too_small_to_reflect_is_refused(small):
    checkpoint = small(padding="reflect")
    enlarge(torch.rand(3, 5, 5), weights=checkpoint)
    with pytest.raises(InputError, match="img is 9x4 pixels; weights='small' needs at least 5 a side"):
        enlarge(torch.rand(3, 4, 9), weights=checkpoint)


def test_a_result_that_does_not_fit_into_memory_is_refused(small, monkeypatch):
    monkeypatch.setattr("fastsr.device.available_memory", lambda device: 2**20)
    with pytest.raises(NotEnoughMemoryError, match="enlarging img 4 times needs about"):
        enlarge(torch.rand(3, 200, 200), weights=small())


def test_memory_is_asked_for_what_consistency_needs_too(small, monkeypatch):
    picture = 4 * 3 * 80 * 80
    monkeypatch.setattr("fastsr.device.available_memory", lambda device: 4 * picture)
    monkeypatch.setattr(call, "Enlarger", None)  # nothing is to begin
    with pytest.raises(NotEnoughMemoryError, match="enlarging img 4 times needs about"):
        enlarge(torch.rand(3, 20, 20), weights=small(), consistency=True)


def test_a_picture_comes_back_as_a_picture(small):
    picture = read(torch.rand(3, 8, 8))
    assert type(enlarge(picture, weights=small())) is type(picture)
