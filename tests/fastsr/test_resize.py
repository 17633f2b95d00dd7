"""Resizing against MATLAB's own files, torch's antialiased bicubic, and what users may hand in."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

import fastsr
from fastsr import images
from fastsr.errors import InputError, InputTypeError, NotEnoughMemoryError
from fastsr.imresize import BORDERS, KERNELS, imresize


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# MATLAB


@pytest.mark.parametrize("dataset", ["Set5", "Set14"])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_every_pixel_is_matlabs(dataset, factor, data):
    originals = sorted((data / dataset / f"image_SRF_{factor}").glob("*_HR.png"))
    assert len(originals) == {"Set5": 5, "Set14": 14}[dataset]
    for path in originals:
        expected = np.asarray(Image.open(str(path).replace("_HR", "_LR")))
        result = np.asarray(fastsr.resize(path, 1 / factor, border="replicate"))
        assert (result != expected).sum() == 0, path.name


def test_borders_differ_at_the_border_only(data):
    path = data / "Set5/image_SRF_4/img_001_SRF_4_HR.png"
    inner = np.s_[3:-3, 3:-3]
    replicate, symmetric = (np.asarray(fastsr.resize(path, 0.25, border=border)) for border in BORDERS[1::-1])
    assert (replicate != symmetric).any()
    assert (replicate[inner] == symmetric[inner]).all()


@pytest.mark.parametrize("size", [(5, 9), (10, 4), (30, 10), (11, 40), (22, 6)])
def test_integers_are_rounded_after_each_axis(size):
    array = noise(20, 16)
    x = torch.from_numpy(array).double()
    first = (size[0], 16) if size[0] / 20 <= size[1] / 16 else (20, size[1])
    expected = (imresize(x, size=first) + 0.5).floor().clamp(0, 255)
    expected = (imresize(expected, size=size) + 0.5).floor().clamp(0, 255)
    assert np.array_equal(fastsr.resize(array, size=size), expected.numpy())
    once = (imresize(x, size=size) + 0.5).floor().clamp(0, 255)
    assert not np.array_equal(expected, once)


# The other definitions


@pytest.mark.parametrize(("size", "scale"), [((64, 48), 0.5), ((63, 48), 1 / 3), ((64, 48), 0.25), ((30, 20), 4)])
def test_interior_is_torchs_antialiased_bicubic(size, scale):
    x = random(2, 3, *size)
    y = imresize(x, scale)
    expected = functional.interpolate(x, y.shape[-2:], mode="bicubic", antialias=True)
    edge = round(3 * max(scale, 1))
    inner = np.s_[..., edge:-edge, edge:-edge]
    assert y[inner].numel() > 0
    torch.testing.assert_close(y[inner], expected[inner], rtol=0, atol=1e-10)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("border", BORDERS)
def test_constants_and_identity_are_kept(kernel, border):
    flat = torch.full((1, 9, 7), 0.3, dtype=torch.float64)
    for scale in (0.4, 1.7):
        result = imresize(flat, scale, kernel=kernel, border=border)
        torch.testing.assert_close(result, torch.full_like(result, 0.3), rtol=0, atol=1e-14)
    x = random(3, 9, 7)
    torch.testing.assert_close(imresize(x, 1, kernel=kernel, border=border), x, rtol=0, atol=1e-15)


def test_box_averages_and_linear_interpolates():
    x = random(1, 8, 12)
    torch.testing.assert_close(imresize(x, 0.25, kernel="box"), functional.avg_pool2d(x, 4))
    half = functional.interpolate(x[None], scale_factor=2, mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(imresize(x, 2, kernel="linear", border="replicate"), half)


def test_without_antialias_most_pixels_are_ignored():
    x = random(1, 64, 64).requires_grad_()
    (seen,) = torch.autograd.grad(imresize(x, 0.125, antialias=False).sum(), x)
    assert (seen != 0).sum() == (8 * 4) ** 2
    (seen,) = torch.autograd.grad(imresize(x, 0.125).sum(), x)
    assert (seen != 0).all()


# Sizes


@pytest.mark.parametrize(
    ("target", "size"),
    [
        ({"scale": 0.25}, (3, 4)),  # rounded up
        ({"scale": 1.5}, (15, 20)),
        ({"scale": (2, 0.5)}, (20, 7)),
        ({"scale": np.float32(0.5)}, (5, 7)),
        ({"scale": 0.01}, (1, 1)),
        ({"size": (1, 1)}, (1, 1)),
        ({"size": (7, 31)}, (7, 31)),
        ({"size": np.array([7, 31])}, (7, 31)),
    ],
)
def test_output_size(target, size):
    assert fastsr.resize(noise(10, 13, 3), **target).shape == (*size, 3)


def test_single_pixels_and_lines():
    assert np.array_equal(fastsr.resize(np.array([[7]], np.uint8), 5), np.full((5, 5), 7))
    line = noise(1, 30)
    assert fastsr.resize(line, 2).shape == (2, 60)
    assert np.array_equal(fastsr.resize(line, 2)[0], fastsr.resize(line, 2)[1])


# Kinds


def test_16_bit_is_rounded_to_16_bit():
    array = noise(20, 30, dtype=np.uint16)
    result = fastsr.resize(array, 0.5)
    assert result.dtype == np.uint16
    exact = imresize(torch.from_numpy(array.astype(float)), 0.5).clamp(0, 65535).numpy()
    assert np.abs(result - exact).max() <= 2  # two roundings, the first of them weighted
    assert (result % 257 != 0).any()


def test_floats_are_not_rounded_and_clipped_once():
    array = np.random.default_rng(0).random((20, 30, 3))
    result = fastsr.resize(array, 2)
    assert result.dtype == np.float64
    exact = imresize(torch.from_numpy(array).permute(2, 0, 1), 2).permute(1, 2, 0).numpy()
    assert (exact.min() < 0) & (exact.max() > 1)
    np.testing.assert_allclose(result, exact.clip(0, 1), rtol=0, atol=1e-6)


def test_gradients_flow_through_a_tensor():
    x = (0.4 + 0.2 * random(1, 3, 8, 8)).float().requires_grad_()
    (gradient,) = torch.autograd.grad(fastsr.resize(x, 0.5, kernel="box").sum(), x)
    torch.testing.assert_close(gradient, torch.full_like(x, 0.25))


def test_colours_are_weighted_by_alpha():
    array = np.zeros((8, 8, 4), np.uint8)
    array[:, :4] = (200, 100, 50, 255)
    array[:, 4:] = (0, 255, 0, 0)  # invisible
    result = fastsr.resize(array, 0.5)
    visible = result[..., 3] > 8
    assert (np.abs(result[visible][:, :3].astype(int) - (200, 100, 50)) <= 1).all()
    assert np.array_equal(result[..., 3], fastsr.resize(array[..., 3], 0.5))


def test_opaque_alpha_changes_nothing():
    array = np.dstack([noise(9, 12, 3), np.full((9, 12), 255, np.uint8)])
    assert np.array_equal(fastsr.resize(array, 0.5)[..., :3], fastsr.resize(array[..., :3], 0.5))


def test_the_kind_that_came_goes_out(tmp_path):
    array = noise(10, 14, 3)
    expected = fastsr.resize(array, 0.5)
    Image.fromarray(array).save(tmp_path / "a.png")
    for image in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(array)):
        result = fastsr.resize(image, 0.5)
        assert isinstance(result, Image.Image)
        assert np.array_equal(result, expected)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    assert np.array_equal(fastsr.resize(tensor, 0.5).permute(1, 2, 0), expected)
    both = fastsr.resize([array, Image.fromarray(array)], 0.5)
    assert np.array_equal(both[0], both[1])
    assert np.array_equal(fastsr.resize(np.stack([array, array]), 0.5)[1], expected)


# Refusals


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, InputError, "scale=None and size=None: give one of the two"),
        ({"scale": 2, "size": (4, 4)}, InputError, r"scale=2 and size=\(4, 4\): give one of the two"),
        ({"scale": 0}, InputError, "scale=0 cannot be used; give one positive number or two"),
        ({"scale": -1.5}, InputError, "scale=-1.5 cannot be used"),
        ({"scale": float("nan")}, InputError, "scale=nan cannot be used"),
        ({"scale": float("inf")}, InputError, "scale=inf cannot be used"),
        ({"scale": "2"}, InputTypeError, "scale='2' cannot be used"),
        ({"scale": (2, 2, 2)}, InputTypeError, r"scale=\(2, 2, 2\) cannot be used"),
        ({"scale": (2, 0)}, InputError, r"scale=\(2, 0\) cannot be used"),
        ({"scale": 1e-4}, InputError, "scale=0.0001 leaves nothing of a picture of 8x6 pixels"),
        ({"scale": 1e9}, InputError, "scale=1000000000.0 of 8x6 pixels is beyond"),
        ({"scale": 10**400}, InputError, "scale=10+ cannot be used"),
        ({"size": (2**40, 3)}, InputError, r"size=\(1099511627776, 3\) cannot be used"),
        ({"scale": True}, InputTypeError, "scale=True cannot be used"),
        ({"size": (True, 4)}, InputTypeError, r"size=\(True, 4\) cannot be used"),
        ({"scale": 2, "kernel": ["bicubic"]}, InputError, r"kernel=\['bicubic'\] is unknown"),
        ({"size": 4}, InputTypeError, r"size=4 cannot be used; give \(height, width\), two integers"),
        ({"size": (4, 0)}, InputError, r"size=\(4, 0\) cannot be used"),
        ({"size": (4.0, 4)}, InputTypeError, r"size=\(4.0, 4\) cannot be used"),
        ({"scale": 2, "kernel": "nearest"}, InputError, "kernel='nearest' is unknown; choose one of bicubic, lanczos2"),
        ({"scale": 2, "border": "zero"}, InputError, "border='zero' is unknown; choose one of symmetric, replicate"),
        ({"size": (10**6, 10**6)}, NotEnoughMemoryError, "a result of 1000000x1000000 pixels"),
    ],
)
def test_what_cannot_be_resized_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        fastsr.resize(noise(6, 8, 3), **options)


def test_a_line_is_no_picture():
    with pytest.raises(InputError, match=r"x has shape \(8,\); give \(..., height, width\)"):
        imresize(torch.zeros(8), 2)


def test_a_picture_in_float64_is_left_as_it_was():
    picture = images.read(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    picture = replace(picture, pixels=picture.pixels.double())
    before = picture.pixels.clone()
    fastsr.resize(picture, 2)
    assert torch.equal(picture.pixels, before)
