"""fastsr.sr3 as a user calls it."""

import importlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

import fastsr
from fastsr.consistency import agree
from fastsr.errors import InputError, InputTypeError, MissingFileError
from fastsr.images import Picture, read
from fastsr.sr3.arguments import check_options
from fastsr.sr3.inference import Diffuser
from fastsr.sr3.samples import Samples
from fastsr.sr3.schedules import Schedule

MODULE = importlib.import_module("fastsr.sr3")  # whose name in fastsr is the function
QUICK = {"device": "cpu", "dtype": "float32", "progress": False, "steps": 3}


def enlarge(img, **options):
    return fastsr.sr3(img, **{**QUICK, **options})


def picture(*shape):
    """Colours that are neither black nor white."""
    return 0.25 + 0.5 * torch.rand(shape, generator=torch.Generator().manual_seed(6))


def straight(checkpoint, x, **options):
    """Samples of (C, h, w) as they are drawn, (samples, C, H, W)."""
    made = check_options(weights=checkpoint, **{"device": "cpu", "dtype": "float32", "steps": 3, **options})
    return Diffuser(made)(x[None], tuple(round(side * made.factor) for side in x.shape[-2:]))[0]


def test_the_result_is_what_was_drawn(small):
    checkpoint, x = small(), picture(3, 4, 5)
    result = enlarge(x, weights=checkpoint, consistency=False)
    assert result.shape == (3, 16, 20)
    assert torch.equal(result, straight(checkpoint, x)[0])
    assert result.std() > 0.01


def test_by_default_it_is_moved_to_where_it_agrees(small):
    checkpoint, x = small(), picture(3, 4, 5)
    assert torch.equal(enlarge(x, weights=checkpoint), agree(straight(checkpoint, x), x[None])[0])


@pytest.mark.parametrize(
    "option", [{"steps": 5}, {"sampler": "ddim"}, {"sampler": "ddpm"}, {"seed": 1}, {"spacing": "time"}]
)
def test_what_is_asked_for_is_done(option, small):
    checkpoint, x = small(prediction="v"), picture(3, 4, 5)
    result = enlarge(x, weights=checkpoint, consistency=False, **option)
    assert torch.equal(result, straight(checkpoint, x, **option)[0])
    assert not torch.equal(result, straight(checkpoint, x)[0])


def test_weights_may_be_a_path(small, weights):
    x = picture(3, 4, 4)
    expected = enlarge(x, weights=small())
    for path in (weights, str(weights)):
        assert torch.equal(enlarge(x, weights=path), expected)


@pytest.mark.parametrize("consistency", [True, False])
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((4, 5), np.uint8),
        ((4, 5, 3), np.uint8),
        ((4, 5, 4), np.uint8),
        ((4, 5, 2), np.uint16),
        ((4, 5, 3), np.uint16),
        ((4, 5, 3), np.float32),
        ((2, 4, 5, 3), np.float64),
    ],
)
def test_kind_and_dtype_survive(shape, dtype, consistency, small):
    values = picture(*shape).numpy()
    x = (values * np.iinfo(dtype).max).astype(dtype) if np.issubdtype(dtype, np.integer) else values.astype(dtype)
    result = enlarge(x, weights=small(), consistency=consistency)
    assert isinstance(result, np.ndarray)
    assert result.dtype == dtype
    assert result.shape == ((2, 16, 20, 3) if len(shape) == 4 else (16, 20, *shape[2:]))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_pil_images_stay_pil_images(mode, small):
    result = enlarge(Image.new(mode, (5, 4), 99), weights=small())
    assert (type(result), result.mode, result.size) == (Image.Image, mode, (20, 16))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float16, torch.bfloat16, torch.float64])
def test_tensors_keep_their_dtype(dtype, small):
    levels = {torch.uint8: 255, torch.uint16: 65535}.get(dtype)
    x = picture(3, 4, 5)
    result = enlarge(x.to(dtype) if levels is None else (x * levels).to(dtype), weights=small())
    assert (result.dtype, result.shape) == (dtype, (3, 16, 20))
    expected = enlarge(x, weights=small()) * (levels or 1)
    assert (result.double() - expected).abs().max() < 0.03 * (levels or 1)


def test_a_path_gives_a_pil_image_with_its_profile(small, tmp_path):
    Image.new("RGB", (6, 5), (90, 99, 120)).save(tmp_path / "a.png", icc_profile=b"profile", dpi=(300, 300))
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        result = enlarge(path, weights=small())
        assert (result.size, result.mode, result.info["icc_profile"]) == ((24, 20), "RGB", b"profile")


def test_files_say_that_detail_was_invented(small, tmp_path):
    Image.new("RGB", (8, 8), "gray").save(tmp_path / "a.png")
    samples = enlarge(tmp_path / "a.png", weights=small(), samples=2)
    for image in (enlarge(tmp_path / "a.png", weights=small()), *samples, samples.mean):
        fastsr.save(image, tmp_path / "b.png")
        with Image.open(tmp_path / "b.png") as written:
            assert written.info["Description"] == MODULE.NOTE


def test_a_picture_comes_back_as_a_picture(small):
    assert type(enlarge(read(picture(3, 4, 4)), weights=small())) is Picture


def test_what_is_invisible_does_not_bleed(small):
    x = picture(4, 6, 6)
    x[3] = 1
    x[3, :, 3:] = 0
    other = x.clone()
    other[:3, :, 3:] = 0.5
    first, second = (enlarge(img, weights=small()) for img in (x, other))
    assert first.shape == (4, 24, 24)
    assert torch.equal(first, second)
    assert first[3].max() == 1
    assert first[3].min() == 0


def test_lists_are_worked_through_and_keep_their_form(small):
    checkpoint, x = small(), picture(3, 4, 4)
    listed = enlarge([x, [Image.new("L", (6, 5), 99)]], weights=checkpoint)
    assert torch.equal(listed[0], enlarge(x, weights=checkpoint))
    assert listed[1][0].size == (24, 20)


def test_the_pictures_of_a_batch_are_what_each_is_alone(small):
    checkpoint, batch = small(), picture(3, 3, 4, 4)
    result = enlarge(batch, weights=checkpoint)
    assert result.shape == (3, 3, 16, 16)
    for row in range(3):
        assert (result[row] - enlarge(batch[row], weights=checkpoint)).abs().max() < 1e-5


def test_an_iterator_gives_an_iterator_that_reads_no_further_than_asked(small):
    read_so_far = []

    def pictures():
        for index in range(3):
            read_so_far.append(index)
            yield picture(3, 4, 4)

    results = enlarge(pictures(), weights=small())
    assert isinstance(results, Iterator)
    assert read_so_far == []
    assert torch.equal(next(results), enlarge(picture(3, 4, 4), weights=small()))
    assert read_so_far == [0]
    assert len(list(results)) == 2


def test_an_iterator_s_picture_is_named(small):
    results = enlarge(iter([picture(3, 4, 4), picture(5, 4, 4)]), weights=small())
    next(results)
    with pytest.raises(InputError, match=r"img\[1\] has shape"):
        next(results)


@pytest.mark.parametrize(
    ("second", "message"), [(picture(5, 4, 4), r"img\[1\] has shape"), (picture(3, 1, 4), r"img\[1\] is 4x1 pixels")]
)
def test_every_picture_of_a_list_is_looked_at_before_the_work(second, message, small, monkeypatch):
    def never(*arguments):
        raise AssertionError("worked")

    monkeypatch.setattr(MODULE, "Diffuser", never)
    with pytest.raises(InputError, match=message):
        enlarge([picture(3, 4, 4), second], weights=small())


@pytest.mark.parametrize("consistency", [True, False])
def test_samples_are_those_of_the_seeds_that_follow(consistency, small):
    checkpoint, x = small(), picture(3, 4, 5)
    found = enlarge(x, weights=checkpoint, samples=5, seed=40, consistency=consistency)
    assert isinstance(found, Samples)
    assert len(found) == 5
    for number, one in enumerate(found):
        alone = enlarge(x, weights=checkpoint, seed=40 + number, consistency=consistency)
        assert (one - alone).abs().max() < 1e-4
    assert (found[0] - found[1]).abs().max() > 0.02
    assert found.spread.shape == (1, 16, 20)
    assert found.spread.mean() > 0.005
    assert torch.allclose(found.mean, torch.stack(list(found)).mean(0), atol=1e-6)


def test_samples_of_every_kind(small):
    checkpoint = small()
    kinds = [
        (Image.new("RGB", (5, 4), (90, 99, 120)), (16, 20)),
        (Image.new("RGBA", (5, 4), (90, 99, 120, 200)), (16, 20)),
        (np.full((4, 5), 99, np.uint8), (16, 20)),
        (picture(2, 3, 4, 5), (2, 1, 16, 20)),
    ]
    found = enlarge([image for image, _ in kinds], weights=checkpoint, samples=2)
    for samples, (image, spread_shape) in zip(found, kinds, strict=True):
        assert len(samples) == 2
        assert {type(samples[0]), type(samples.mean)} == {type(image)}
        assert samples.spread.shape == spread_shape
        assert samples.spread.max() > 0
    batch = found[-1]
    for row in range(2):
        alone = enlarge(kinds[-1][0][row], weights=checkpoint, samples=2)
        assert (batch[1][row] - alone[1]).abs().max() < 1e-4


def test_one_sample_is_a_sequence_and_none_is_the_result(small):
    checkpoint, x = small(), picture(3, 4, 4)
    (one,) = enlarge(x, weights=checkpoint, samples=1)
    assert torch.equal(one, enlarge(x, weights=checkpoint))


@pytest.mark.parametrize("gain", [0.25, 2.0])
@pytest.mark.parametrize("kind", ["colour", "grey", "one and a half"])
def test_the_downscale_of_the_result_is_the_input(gain, kind, small):
    """Without it, colours are whatever the network makes of them."""
    x = (picture(1 if kind == "grey" else 3, 12, 14) * 255).to(torch.uint8)
    checkpoint = small(gain=gain, factor=None, size=None) if kind == "one and a half" else small(gain=gain)
    factor = 1.5 if kind == "one and a half" else None
    free, kept = (
        enlarge(x.float() / 255, factor=factor, weights=checkpoint, consistency=agrees) for agrees in (False, True)
    )
    shift = (kept.mean((1, 2)) - (x.float() / 255).mean((1, 2))).abs() * 255
    assert (free.mean((1, 2)) - (x.float() / 255).mean((1, 2))).abs().max() * 255 > 3
    back = fastsr.resize(kept, size=(12, 14))
    assert ((back * 255 + 0.5).floor() == x).all()
    assert (back - x.float() / 255).mean((1, 2)).abs().max() * 255 < 0.1
    assert shift.max() < 1
    whole = enlarge(x, factor=factor, weights=checkpoint)
    assert (fastsr.resize(whole, size=(12, 14)).int() - x.int()).abs().max() <= 1


def test_the_same_call_gives_the_same_bits_and_changes_nothing_else(small):
    checkpoint, x = small(), picture(3, 7, 9)
    before = x.clone()
    options = {"weights": checkpoint, "sampler": "ddpm", "samples": 3}
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    first = enlarge(x, **options)
    torch.rand(3)
    torch.manual_seed(99)
    second = enlarge(x, **options)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    torch.set_rng_state(state)
    enlarge(x, **options)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert torch.get_num_threads() == threads
    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(x, before)


def test_the_callers_default_device_does_not_matter(small):
    x, checkpoint = picture(3, 5, 6), small()
    expected = enlarge(x, weights=checkpoint, tile=16)
    with torch.device("meta"):
        assert torch.equal(enlarge(x, weights=checkpoint, tile=16), expected)
        assert Schedule().curve().device.type == "cpu"


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("consistency", [True, False])
def test_no_gradient_flows_through_but_the_result_can_be_worked_on(channels, consistency, small):
    x = picture(channels, 4, 4).requires_grad_()
    result = enlarge(x, weights=small(), consistency=consistency)
    assert not result.requires_grad
    result.requires_grad_().sum().backward()
    assert result.grad is not None
    assert x.grad is None
    samples = enlarge(x, weights=small(), consistency=consistency, samples=2)
    assert not any(one.requires_grad for one in (*samples, samples.mean, samples.spread))


def test_the_caller_s_default_dtype_does_not_matter(weights, other_default):
    x = picture(3, 7, 9)
    expected = enlarge(x, weights=weights)
    with other_default():
        assert torch.equal(enlarge(x, weights=weights), expected)


def test_it_works_in_inference_mode(small):
    checkpoint, x = small(), picture(3, 7, 9)
    expected = enlarge(x, weights=checkpoint)
    with torch.inference_mode():
        assert torch.equal(enlarge(x, weights=checkpoint), expected)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"callback": 3}, InputTypeError, "callback=3 cannot be called; give a function of step, image and info"),
        ({"factor": 2}, InputError, "factor=2 is not the one that weights='small' was trained for; give factor=4"),
        ({"weights": "nowhere.pth"}, MissingFileError, "weights='nowhere.pth' is not there"),
        ({"img": 3}, InputTypeError, "img is a int"),
        ({"img": []}, InputError, "img is an empty list"),
        ({"img": picture(3, 1, 4)}, InputError, "img is 4x1 pixels, of which weights='small' would make 16x4"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(options, error, message, small):
    given = {"img": picture(3, 4, 4), "weights": small(), **options}
    with pytest.raises(error, match=message):
        enlarge(given.pop("img"), **given)


def test_a_picture_smaller_than_those_of_the_training_is_enlarged(small):
    assert enlarge(picture(3, 2, 3), weights=small()).shape == (3, 8, 12)


def test_a_file_of_the_best_known_implementation_enlarges(published, tmp_path):
    layout = published(32, (1, 2), (8,), 1, 16)
    buffers = published.buffers(torch.linspace(1e-6, 1e-2, 2000, dtype=torch.float64))
    torch.save(
        {**{key: value.float() for key, value in buffers.items()}, **layout.weights()}, tmp_path / "I1_E1_gen.pth"
    )
    result = enlarge(picture(3, 4, 4), factor=4, weights=tmp_path / "I1_E1_gen.pth", consistency=False)
    assert result.shape == (3, 16, 16)
    assert result.std() > 0.1
