"""fastsr.dip as a user calls it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import fastsr
from fastsr.consistency import Downscale
from fastsr.dip.network import HourglassConfig
from fastsr.dip.recipes import upscale
from fastsr.errors import DeviceError, FastsrError, InputError, InputTypeError, Interrupted, NotEnoughMemoryError
from fastsr.images import read

NARROW = replace(upscale("fast", 4), network=HourglassConfig(channels=(32,) * 5))
"""The fast recipe with a network that suits a test's small pictures and its patience."""
QUICK = {"preset": NARROW, "steps": 3, "device": "cpu", "progress": False}


@pytest.fixture(scope="module")
def eye() -> np.ndarray:
    """64x64 pixels around an eye of skimage's astronaut."""
    return data.astronaut()[76:140, 180:244]


def test_beats_bicubic_on_a_real_picture(eye):
    small = fastsr.resize(eye, 1 / 4, kernel="lanczos2")
    result = fastsr.dip(small, factor=4, preset=NARROW, steps=100, device="cpu", progress=False)
    scores = [fastsr.metrics.psnr(x, eye, channel="y", shave=4) for x in (fastsr.resize(small, 4), result)]
    assert scores[1] > scores[0] + 0.2


@pytest.mark.parametrize("factor", [2, 3, 4, 1.5, 2.7])
@pytest.mark.parametrize("size", [(10, 7), (33, 4)])
def test_any_size_and_factor(factor, size):
    small = np.random.default_rng(0).random((*size, 3), dtype=np.float32)
    result = fastsr.dip(small, factor, **QUICK)
    assert result.shape == fastsr.resize(small, factor).shape
    assert result.dtype == np.float32


@pytest.mark.parametrize(
    ("shape", "dtype"), [((8, 9), np.uint8), ((8, 9), np.uint16), ((8, 9, 3), np.uint8), ((8, 9, 4), np.uint8)]
)
def test_kind_and_dtype_survive(shape, dtype):
    small = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    result = fastsr.dip(small, 2, **QUICK)
    assert isinstance(result, np.ndarray)
    assert result.dtype == dtype
    assert result.shape == (16, 18, *shape[2:])


def test_batches_and_lists_are_worked_through_one_by_one():
    batch = torch.rand(2, 3, 8, 8)
    result = fastsr.dip(batch, 2, **QUICK)
    assert result.shape == (2, 3, 16, 16)
    assert torch.equal(result[1], fastsr.dip(batch[1], 2, **QUICK))
    listed = fastsr.dip([batch[0], Image.new("L", (6, 5), 99)], 2, **QUICK)
    assert torch.equal(listed[0], result[0])
    assert listed[1].mode == "L"
    assert listed[1].size == (12, 10)


def test_consistency_makes_the_downscale_equal_the_input():
    small = 0.3 + 0.4 * torch.rand(3, 8, 10)  # away from 0 and 1, where clipping would interfere
    operator = Downscale((32, 40), (8, 10))
    loose, exact = (
        fastsr.dip(small, 4, preset=NARROW, steps=40, device="cpu", progress=False, consistency=c)
        for c in (False, True)
    )
    assert (operator(exact) - small).abs().max() < 1e-5
    assert (operator(loose) - small).abs().max() > 1e-3


def test_same_seed_is_bitwise_the_same():
    small = torch.rand(3, 8, 8)
    first, again, other = (fastsr.dip(small, 2, seed=seed, **QUICK) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_bfloat16_fits_as_well_as_float32(eye):
    small = fastsr.resize(eye, 1 / 4, kernel="lanczos2")
    scores = []
    for dtype in ("float32", "bfloat16"):
        result = fastsr.dip(small, 4, preset=NARROW, steps=60, dtype=dtype, device="cpu", progress=False)
        scores.append(fastsr.metrics.psnr(result, eye, channel="y", shave=4))
    assert scores[1] > scores[0] - 0.5


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_need_not_be_on(mode):
    small = np.random.default_rng(3).random((8, 8, 3), dtype=np.float32)
    expected = fastsr.dip(small, 2, **QUICK)
    with mode():
        assert np.array_equal(fastsr.dip(small, 2, **QUICK), expected)
        tensor = torch.from_numpy(small).permute(2, 0, 1).clone()  # in inference mode an inference tensor
        assert np.array_equal(fastsr.dip(tensor, 2, **QUICK).permute(1, 2, 0), expected)
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("consistency", [True, False])
def test_no_gradient_reaches_the_callers_tensor(consistency):
    small = torch.rand(3, 8, 8, requires_grad=True)
    result = fastsr.dip(small, 2, **QUICK, consistency=consistency)
    assert small.grad is None
    assert not result.requires_grad


def test_the_global_generator_and_defaults_are_left_alone():
    small = np.random.default_rng(3).random((8, 8, 3), dtype=np.float32)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fastsr.dip(small, 2, **QUICK)
    assert torch.equal(torch.rand(3), expected)


def test_the_callers_default_dtype_and_device_do_not_matter():
    small = np.random.default_rng(3).random((8, 8, 3), dtype=np.float32)
    expected = fastsr.dip(small, 2, **QUICK)
    torch.set_default_dtype(torch.float64)
    try:
        assert np.array_equal(fastsr.dip(small, 2, **QUICK), expected)
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"):
        assert np.array_equal(fastsr.dip(small, 2, **QUICK), expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_callers_autocast_does_not_matter(dtype):
    small = np.random.default_rng(3).random((8, 8, 3), dtype=np.float32)
    expected = fastsr.dip(small, 2, **QUICK, dtype=dtype)
    with torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(fastsr.dip(small, 2, **QUICK, dtype=dtype), expected)


def test_numbers_of_numpy_are_numbers():
    small = np.random.default_rng(3).random((8, 8, 3), dtype=np.float32)
    expected = fastsr.dip(small, 2, seed=5, **QUICK)
    given = {**QUICK, "steps": np.int64(3)}
    assert np.array_equal(fastsr.dip(small, np.float32(2), seed=np.int64(5), **given), expected)


def test_activations_are_bfloat16_where_the_device_computes_in_it(monkeypatch):
    small = np.random.default_rng(3).random((8, 8, 3), dtype=np.float32)
    for found, dtype in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr("fastsr.device.has_bfloat16", lambda device, found=found: found)
        assert np.array_equal(fastsr.dip(small, 2, **QUICK), fastsr.dip(small, 2, dtype=dtype, **QUICK))


def test_callback_sees_every_step():
    seen = []
    fastsr.dip(
        torch.rand(3, 8, 8), 2, **QUICK, callback=lambda step, image, info: seen.append((step, image.shape, info.psnr))
    )
    assert [step for step, *_ in seen] == [1, 2, 3]
    assert all(shape == (1, 3, 16, 16) for _, shape, _ in seen)
    assert all(0 < psnr < 60 for *_, psnr in seen)


def stop_at_two(step, image, info):
    if step == 2:
        raise KeyboardInterrupt


def test_interrupt_hands_over_the_picture_reached():
    small = Image.fromarray(np.random.default_rng(2).integers(0, 255, (8, 9, 3)).astype(np.uint8))
    with pytest.raises(Interrupted) as caught:
        fastsr.dip(small, 2, preset=NARROW, steps=100, device="cpu", progress=False, callback=stop_at_two)
    reached = caught.value.image
    assert isinstance(reached, Image.Image)
    expected = fastsr.dip(small, 2, preset=NARROW, steps=2, device="cpu", progress=False)
    assert np.array_equal(np.asarray(reached), np.asarray(expected))


@pytest.mark.parametrize("many", [[torch.rand(3, 8, 8)] * 2, torch.rand(2, 3, 8, 8)])
def test_interrupt_of_several_pictures_is_a_plain_one(many):
    with pytest.raises(KeyboardInterrupt) as caught:
        fastsr.dip(many, 2, **QUICK, callback=stop_at_two)
    assert not isinstance(caught.value, Interrupted)


def test_progress_is_a_bar_on_a_terminal_only(capfd):
    fastsr.dip(torch.rand(3, 8, 8), 2, steps=2, device="cpu")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"factor": 0}, InputError, r"factor=0 .* above 1"),
        ({"factor": 1}, InputError, r"factor=1 .* above 1"),
        ({"factor": -4}, InputError, r"factor=-4 .* above 1"),
        ({"factor": float("nan")}, InputError, r"factor=nan .* above 1"),
        ({"factor": float("inf")}, InputError, r"factor=inf .* above 1"),
        ({"factor": "4"}, InputTypeError, r"factor='4' is a str; give a finite number"),
        ({"factor": True}, InputTypeError, r"factor=True is a bool; give a finite number"),
        ({"preset": "slow"}, InputError, r"preset='slow' is unknown; .*'fast', 'paper'"),
        ({"factor": 10**400}, InputError, r"factor=1000.* above 1"),
        ({"factor": 1e200}, InputError, r"factor=1e\+200 enlarges img, 8x8 pixels, beyond"),
        ({"callback": 3}, InputTypeError, r"callback=3 cannot be called"),
        ({"steps": 0}, InputError, r"steps=0 .* at least 1"),
        ({"steps": 2.5}, InputTypeError, r"steps=2.5 is a float; give a whole number"),
        ({"seed": -1}, InputError, r"seed=-1 is out of range; give an integer from 0"),
        ({"seed": "a"}, InputTypeError, r"seed='a' is a str; give an integer"),
        ({"device": "tpu9"}, DeviceError, r"device='tpu9' is not a device; use 'cpu', 'cuda'"),
        ({"device": "meta"}, DeviceError, r"device='meta' is not supported; use 'cpu', 'cuda'"),
        ({"dtype": "int8"}, InputError, r"dtype='int8' is not supported; use 'float32' or 'bfloat16'"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        fastsr.dip(torch.rand(3, 8, 8), **{**QUICK, **arguments})
    assert isinstance(caught.value, FastsrError)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none_is_refused():
    with pytest.raises(DeviceError, match="device='cuda' was asked for, but PyTorch finds no CUDA device"):
        fastsr.dip(torch.rand(3, 8, 8), device="cuda")


def test_a_list_is_checked_before_the_first_picture_is_worked_on(tmp_path):
    fine, seen = torch.rand(3, 8, 8), []
    options = {**QUICK, "callback": lambda *state: seen.append(state)}
    with pytest.raises(FastsrError, match=r"img\[1\]='.*missing.png' does not exist"):
        fastsr.dip([fine, tmp_path / "missing.png"], 2, **options)
    with pytest.raises(InputError, match=r"img\[1\] is 3x3 pixels; .* at least 4"):
        fastsr.dip([fine, torch.rand(3, 3, 3)], 2, **options)
    with pytest.raises(NotEnoughMemoryError, match=r"fitting img\[1\] at 200000x160 pixels"):
        fastsr.dip([fine, torch.rand(3, 4, 5000)], 40, **options)
    assert seen == []


@pytest.mark.parametrize("size", [(1, 20), (20, 1), (3, 3)])
def test_too_small_pictures_are_refused(size):
    with pytest.raises(InputError, match=rf"img is {size[1]}x{size[0]} pixels; .* at least 4 on each side"):
        fastsr.dip(torch.rand(3, *size), 2, **QUICK)


def test_a_picture_that_cannot_fit_is_refused_before_the_work():
    with pytest.raises(NotEnoughMemoryError, match=r"fitting img at 200000x200000 pixels needs about .* GiB"):
        fastsr.dip(torch.rand(3, 50, 50), 4000, **QUICK)


def test_alpha_is_upscaled_with_the_picture():
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:, :4] = (200, 30, 30, 255)
    result = read(fastsr.dip(rgba, 2, preset=NARROW, steps=60, device="cpu", progress=False))
    assert result.alpha is not None
    assert result.alpha[..., :6].min() > 0.9
    assert result.alpha[..., 10:].max() < 0.1
