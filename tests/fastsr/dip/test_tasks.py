"""The tasks beside plain super-resolution, as a user calls them."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import fastsr
from fastsr.consistency import Downscale
from fastsr.dip.network import HourglassConfig
from fastsr.dip.recipes import Recipe, denoise
from fastsr.errors import FastsrError, InputError, InputTypeError, Interrupted
from fastsr.imresize import KERNELS
from fastsr.operators import Mask

CALL = importlib.import_module("fastsr.dip.call")
QUIET = {"device": "cpu", "progress": False}
TINY = Recipe(HourglassConfig(channels=(8, 8)), steps=4, optimizer="muon")
QUICK = {**QUIET, "preset": TINY, "steps": 3}
FEW = Recipe(HourglassConfig(channels=(16,) * 4), steps=80, optimizer="muon", average=0.9)
"""Enough to come near to a small picture in a second."""


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """64x64 pixels of skimage's astronaut, face and hair, at half the size."""
    return fastsr.resize(data.astronaut()[40:168, 150:278], 1 / 2)


@pytest.fixture(scope="module")
def noisy(face) -> np.ndarray:
    """With Gaussian noise of 25 levels."""
    noise = np.random.default_rng(0).normal(0, 25, face.shape)
    return (face + noise).clip(0, 255).round().astype(np.uint8)


def psnr(a, b):
    return fastsr.metrics.psnr(a, b, channel="rgb")


def steps_of(img, **arguments):
    """Return the result of `dip`, and after how many steps it ended."""
    seen = []
    result = fastsr.dip(img, **QUIET, **arguments, callback=lambda step, image, info: seen.append(step))
    return result, seen[-1]


SMALL = {"network": HourglassConfig(channels=(32,) * 4), "steps": 300}


@pytest.fixture(scope="module")
def noise_is_back(noisy) -> np.ndarray:
    """What a fit of all steps makes, whatever it knows of the noise."""
    result, last = steps_of(noisy, task="denoise", preset=replace(denoise("fast", None), **SMALL), early_stop=False)
    assert last == SMALL["steps"]
    return result


@pytest.mark.parametrize("sigma", [25, None])
def test_denoising_ends_by_itself_before_the_noise_is_back(sigma, face, noisy, noise_is_back):
    result, end = steps_of(noisy, task="denoise", sigma=sigma, preset=replace(denoise("fast", sigma), **SMALL))
    assert end < SMALL["steps"]
    assert result.shape == noisy.shape
    assert psnr(result, face) > psnr(noisy, face) + 5
    assert psnr(noise_is_back, face) < psnr(result, face) - 1


def test_stronger_noise_ends_a_fit_earlier(noisy):
    ends = [steps_of(noisy, task="denoise", sigma=sigma, preset=replace(TINY, steps=200))[1] for sigma in (40, 60)]
    assert ends[1] < ends[0] < 200


@pytest.mark.parametrize("task", ["inpaint", "restore"])
def test_what_a_mask_hides_is_filled_in_and_the_rest_kept(face, task):
    generator = np.random.default_rng(1)
    mask = generator.random(face.shape[:2]) < 0.5
    if task == "inpaint":
        mask[:] = False
        mask[20:24, 5:60] = mask[30:50, 40:43] = True
    spoilt = np.where(mask[..., None], generator.integers(0, 255, face.shape), face).astype(np.uint8)
    result, _ = steps_of(spoilt, task=task, mask=mask, preset=FEW)
    assert np.array_equal(result[~mask], face[~mask])
    flat = np.where(mask[..., None], face[~mask].mean(0).round().astype(np.uint8), face)
    assert psnr(result, face) > psnr(flat, face) + 6


def test_what_lies_under_a_mask_does_not_matter(face):
    mask = np.zeros((64, 64), bool)
    mask[10:20, 10:50] = True
    results = [
        fastsr.dip(np.where(mask[..., None], value, face).astype(np.uint8), task="inpaint", mask=mask, **QUICK)
        for value in (0, 255)
    ]
    assert np.array_equal(*results)


def test_a_masked_picture_is_enlarged(face):
    small = fastsr.resize(face, 1 / 4, kernel="lanczos2")
    mask = np.random.default_rng(2).random(small.shape[:2]) < 0.25
    spoilt = np.where(mask[..., None], 0, small).astype(np.uint8)
    result, _ = steps_of(spoilt, factor=4, task="inpaint", mask=mask, preset=FEW)
    assert result.shape == face.shape
    assert psnr(result, face) > psnr(fastsr.resize(spoilt, 4), face) + 5
    downscaled = Downscale((64, 64), (16, 16))(torch.from_numpy(result / 255.0).permute(2, 0, 1)[None])
    difference = downscaled[0].permute(1, 2, 0).numpy() - small / 255.0
    assert np.abs(difference[~mask]).mean() < 0.004  # clipped and rounded to 8 bits


def test_a_noisy_picture_is_enlarged(face):
    small = fastsr.resize(face, 1 / 2, kernel="lanczos2")
    noise = np.random.default_rng(0).normal(0, 20, small.shape)
    noisy = (small + noise).clip(0, 255).round().astype(np.uint8)
    recipe = replace(denoise("fast", 20), network=FEW.network)
    result, end = steps_of(noisy, factor=2, task="denoise", sigma=20, preset=recipe)
    assert end < recipe.steps
    assert psnr(result, face) > psnr(fastsr.resize(noisy, 2), face) + 1


def test_an_operator_of_the_users_own(face):
    result, _ = steps_of(face, operator=lambda x: x.flip(-1), preset=FEW)
    assert result.shape == face.shape
    assert psnr(result, face[:, ::-1]) > psnr(result, face) + 5


@pytest.mark.parametrize("kernel", ["lanczos2", "lanczos3", "bicubic", "box"])
def test_the_kernel_is_that_of_the_downscale(kernel):
    small = 0.3 + 0.4 * torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(7))
    result = fastsr.dip(small, 4, kernel=kernel, consistency=True, **QUICK)[None]
    errors = {
        name: (Downscale((32, 32), (8, 8), kernel=KERNELS[name])(result) - small).abs().max().item()
        for name in ("lanczos2", "lanczos3", "bicubic", "box")
    }
    assert min(errors, key=errors.get) == kernel
    assert errors[kernel] < 1e-5


def test_an_operator_may_enlarge_project_and_have_a_mask():
    class Halves(Downscale):
        pass

    small = 0.3 + 0.4 * torch.rand(3, 8, 10)
    operator = Halves((16, 20), (8, 10))
    plain = fastsr.dip(small, 2, **QUICK)
    assert torch.equal(fastsr.dip(small, 2, operator=operator, **QUICK), plain)
    exact = fastsr.dip(small, 2, operator=operator, consistency=True, **{**QUIET, "preset": TINY, "steps": 40})
    assert (operator(exact[None]) - small).abs().max() < 1e-5
    mask = torch.zeros(8, 10, dtype=torch.bool)
    mask[2:4] = True
    for given in (operator, lambda x: operator(x)):
        masked = fastsr.dip(small, 2, operator=given, mask=mask, **QUICK, consistency=False)
        assert not torch.equal(masked, plain)
        other = torch.where(mask, 1 - small, small)
        assert torch.equal(fastsr.dip(other, 2, operator=given, mask=mask, **QUICK, consistency=False), masked)


def test_masks_of_a_list_belong_to_its_pictures(face):
    pictures = [face[:8, :9], Image.fromarray(face[:12, :10])]
    masks = [np.eye(8, 9, dtype=bool), Image.fromarray(np.eye(12, 10, dtype=bool))]
    together = fastsr.dip(pictures, task="inpaint", mask=masks, **QUICK)
    for result, picture, mask in zip(together, pictures, masks, strict=True):
        assert np.array_equal(np.asarray(result), fastsr.dip(np.asarray(picture), task="inpaint", mask=mask, **QUICK))


def test_masks_of_an_iterator_go_with_its_pictures():
    pictures = [torch.rand(3, 8, 8), torch.rand(3, 8, 9)]
    masks = [torch.eye(8, dtype=torch.bool), torch.eye(8, 9, dtype=torch.bool)]
    results = fastsr.dip(iter(pictures), task="restore", mask=iter(masks), **QUICK)
    for result, picture, mask in zip(results, pictures, masks, strict=True):
        assert torch.equal(result, fastsr.dip(picture, task="restore", mask=mask, **QUICK))
    with pytest.raises(InputTypeError, match="mask is an iterator and img is none"):
        fastsr.dip(pictures, task="restore", mask=iter(masks), **QUICK)


def test_too_few_masks_are_refused():
    pictures = [torch.rand(3, 8, 8), torch.rand(3, 8, 8)]
    results = fastsr.dip(iter(pictures), task="restore", mask=iter([MASK]), **QUICK)
    assert next(results).shape == (3, 8, 8)
    with pytest.raises(InputError, match=r"mask ends before img\[1\]"):
        next(results)
    with pytest.raises(InputError, match="mask is a list of 1 for 2 images; give one for each"):
        fastsr.dip(pictures, task="restore", mask=[MASK], **QUICK)


def test_every_picture_of_a_batch_may_have_its_own_mask():
    batch, masks = torch.rand(2, 3, 8, 8), torch.stack([torch.eye(8), torch.eye(8).flip(0)])[:, None]
    result = fastsr.dip(batch, task="restore", mask=masks, **QUICK)
    for one, picture, mask in zip(result, batch, masks, strict=True):
        assert torch.equal(one, fastsr.dip(picture, task="restore", mask=mask, **QUICK))


def test_one_mask_serves_a_batch():
    batch, mask = torch.rand(2, 3, 8, 8), torch.eye(8, dtype=torch.bool)
    result = fastsr.dip(batch, task="restore", mask=mask, **QUICK)
    assert torch.equal(result[1], fastsr.dip(batch[1], task="restore", mask=mask, **QUICK))


def test_several_at_once_are_as_good_as_alone(monkeypatch):
    """As on a GPU that a small picture does not fill."""
    batch, single = torch.rand(3, 3, 8, 8), torch.rand(3, 6, 9)
    alone = [fastsr.dip(one, 2, **QUICK) for one in (*batch, single)]
    demands = CALL.demands
    monkeypatch.setattr(CALL, "demands", lambda *picture: (demands(*picture)[0], 0.4))
    seen = []
    together = fastsr.dip([batch, single], 2, **QUICK, callback=lambda step, image, info: seen.append(info.picture))
    assert seen == [0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3]
    assert all(torch.equal(a, b) for a, b in zip([*together[0], together[1]], alone, strict=True))


def test_an_iterator_gives_results_as_it_is_read():
    pictures, read = [torch.rand(3, 8, 8), Image.new("RGB", (6, 5), (9, 8, 7)), torch.rand(2, 3, 8, 8)], []

    def supply():
        for index, picture in enumerate(pictures):
            read.append(index)
            yield picture

    results = fastsr.dip(supply(), 2, **QUICK)
    assert read == []
    assert torch.equal(next(results), fastsr.dip(pictures[0], 2, **QUICK))
    assert read == [0, 1]
    assert next(results).size == (12, 10)
    assert torch.is_grad_enabled()
    with torch.no_grad():
        assert torch.equal(next(results), fastsr.dip(pictures[2], 2, **QUICK))
        assert not torch.is_grad_enabled()
    assert next(results, None) is None


def test_an_interrupted_iterator_hands_over_the_picture_reached():
    def stop(step, image, info):
        if (info.picture, step) == (1, 2):
            raise KeyboardInterrupt

    pictures = [torch.rand(3, 8, 8), torch.rand(3, 8, 9)]
    results = fastsr.dip(iter(pictures), 2, **{**QUIET, "preset": TINY, "steps": 5}, callback=stop)
    next(results)
    with pytest.raises(Interrupted) as caught:
        next(results)
    assert torch.equal(caught.value.image, fastsr.dip(pictures[1], 2, **{**QUIET, "preset": TINY, "steps": 2}))


def test_a_bad_picture_of_an_iterator_is_named():
    results = fastsr.dip(iter([torch.rand(3, 8, 8), "missing.png"]), 2, **QUICK)
    assert next(results).shape == (3, 16, 16)
    with pytest.raises(FastsrError, match=r"img\[1\]='missing.png' does not exist"):
        next(results)


def test_the_callback_of_a_list_tells_the_pictures_apart():
    seen = []
    fastsr.dip(
        [torch.rand(2, 3, 8, 8), torch.rand(3, 8, 8)],
        2,
        **{**QUIET, "preset": TINY, "steps": 2},
        callback=lambda step, image, info: seen.append((info.picture, step)),
    )
    assert seen == [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2)]


def test_an_operator_is_tried_on_every_picture_before_the_work():
    seen = []
    with pytest.raises(InputError, match=r"operator makes \(1, 3, 8, 8\) of a picture \(1, 3, 8, 9\)"):
        fastsr.dip(
            [torch.rand(3, 8, 8), torch.rand(3, 8, 9)],
            operator=lambda x: x[..., :8],
            **QUICK,
            callback=lambda *state: seen.append(state),
        )
    assert seen == []


def test_ctrl_c_before_a_fit_has_begun_is_a_plain_one(monkeypatch):
    def pose(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(CALL, "pose", pose)
    with pytest.raises(KeyboardInterrupt) as caught:
        fastsr.dip(torch.rand(3, 8, 8), 2, **QUICK)
    assert not isinstance(caught.value, Interrupted)


MASK = np.eye(8, dtype=bool)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"task": "enhance"}, InputError, r"task='enhance' is unknown; .*'upscale', 'denoise'"),
        ({"task": "inpaint"}, InputError, r"mask is missing: task='inpaint' fills in what a mask marks white"),
        ({"task": "restore"}, InputError, r"mask is missing: task='restore'"),
        ({"task": "inpaint", "mask": MASK[:-1]}, InputError, r"mask is 8x7 pixels and img is 8x8"),
        ({"task": "inpaint", "mask": MASK & False}, InputError, r"mask is black everywhere"),
        ({"task": "inpaint", "mask": MASK | True}, InputError, r"mask is white everywhere"),
        ({"task": "inpaint", "mask": 3}, InputTypeError, r"mask is a int; give a path"),
        ({"task": "inpaint", "mask": [MASK]}, InputError, r"mask is a list of 1 and img is none; give one mask"),
        ({"mask": MASK[:, :-1]}, InputError, r"mask is 7x8 pixels and img is 8x8"),
        ({"sigma": 25}, InputError, r"sigma=25 belongs to task='denoise', not to task='upscale'"),
        ({"task": "denoise", "sigma": 0.1}, InputError, r"sigma=0.1 is out of range; .*levels of 8 bits, from 0.5 to"),
        ({"task": "denoise", "sigma": -5}, InputError, r"sigma=-5 is out of range"),
        ({"task": "denoise", "sigma": 300}, InputError, r"sigma=300 is out of range"),
        ({"task": "denoise", "sigma": float("nan")}, InputError, r"sigma=nan is out of range"),
        ({"task": "denoise", "sigma": "25"}, InputTypeError, r"sigma='25' is a str; give a number, or None"),
        ({"task": "denoise", "consistency": True}, InputError, r"consistency=True would put the noise back"),
        (
            {"task": "denoise", "factor": 0.5},
            InputError,
            r"factor=0.5 does not enlarge .* give 1, or a finite number above 1",
        ),
        ({"kernel": "lanczos"}, InputError, r"kernel='lanczos' is unknown; choose one of bicubic, lanczos2"),
        ({"kernel": "box", "operator": lambda x: x}, InputError, r"kernel='box' is for the downscale"),
        ({"task": "inpaint", "mask": iter([None])}, InputTypeError, r"mask is an iterator and img is none"),
        ({"early_stop": "no"}, InputTypeError, r"early_stop='no' is a str; give True, False or None"),
        ({"consistency": "no"}, InputTypeError, r"consistency='no' is a str; give True, False or None"),
        ({"task": "denoise", "sigma": 10**400}, InputError, r"sigma=1000.* is out of range"),
        (
            {"operator": lambda x: x @ x[0, 0, :3]},
            InputError,
            r"operator raised RuntimeError for a picture \(1, 3, 8, 8\)",
        ),
        ({"operator": 3}, InputTypeError, r"operator=3 cannot be called"),
        ({"operator": lambda x: x[..., 1:]}, InputError, r"operator makes \(1, 3, 8, 7\) of a picture \(1, 3, 8, 8\)"),
        ({"operator": lambda x: x.detach()}, InputError, r"operator cannot be differentiated"),
        ({"operator": lambda x: x / 0}, InputError, r"operator .* not finite"),
        ({"operator": lambda x: 3}, InputTypeError, r"operator returned a int"),
        (
            {"operator": lambda x: x, "consistency": True},
            InputError,
            r"consistency=True needs an operator with a method",
        ),
        ({"preset": 3}, InputTypeError, r"preset is a int; give 'fast', 'paper' or a Recipe"),
        ({"task": "denoise", "preset": "best"}, InputError, r"preset='best' is unknown"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        fastsr.dip(torch.rand(3, 8, 8), **{**QUICK, **arguments})
    assert isinstance(caught.value, FastsrError)


def test_the_list_of_masks_is_checked_before_the_work():
    seen = []
    with pytest.raises(InputError, match=r"mask\[1\] is 8x8 pixels and img\[1\] is 9x8"):
        fastsr.dip(
            [torch.rand(3, 8, 8), torch.rand(3, 8, 9)],
            task="inpaint",
            mask=[MASK, MASK],
            **QUICK,
            callback=lambda *state: seen.append(state),
        )
    assert seen == []


def test_mask_is_an_operator_that_users_may_take(face):
    known = torch.ones(1, 1, 64, 64)
    known[..., 10:20, :] = 0
    picture = torch.from_numpy(face / 255.0).permute(2, 0, 1).float()
    result = fastsr.dip(picture, operator=Mask(known), consistency=True, **QUICK)
    assert torch.equal(result[:, :10], picture[:, :10])
