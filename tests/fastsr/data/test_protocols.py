import math

import numpy as np
import pytest
import torch
from PIL import Image

import fastsr
from fastsr.data.benchmarks import Sample, find_benchmark
from fastsr.data.protocols import PROTOCOLS, eight_bits, find_protocol
from fastsr.errors import InputError


def array(picture):
    return picture.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("protocol", ["rgb8", "colour8", "matlab8"])
def test_networks_are_given_matlabs_lr(protocol, tmp_path, save_noise):
    path = save_noise(tmp_path / "a.png", 31, 42)
    case = PROTOCOLS[protocol].prepare(Sample("a", path, None), 4)
    hr = np.asarray(Image.open(path))[:28, :40]
    assert (array(case.hr) == hr).all()
    assert (array(case.lr) == fastsr.resize(hr, 1 / 4)).all()


def test_lr_files_are_taken(tmp_path, save_noise):
    hr, lr = save_noise(tmp_path / "a.png", 31, 42), save_noise(tmp_path / "b.png", 7, 10)
    case = PROTOCOLS["rgb8"].prepare(Sample("a", hr, lr), 4)
    assert (array(case.lr) == np.asarray(Image.open(lr))).all()


def test_dip_crops_around_the_centre_and_ignores_lr_files(tmp_path, save_noise):
    hr, lr = save_noise(tmp_path / "a.png", 79, 111), save_noise(tmp_path / "b.png", 8, 12)
    case = PROTOCOLS["dip"].prepare(Sample("a", hr, lr), 8)
    # 79x111 -> 72x104, from its left top; -> 64x96 around the centre
    crop = np.asarray(Image.open(hr))[4:68, 4:100]
    assert (array(case.hr) == crop).all()
    lanczos = Image.fromarray(crop).resize((12, 8), Image.Resampling.LANCZOS)
    assert (array(case.lr) == np.asarray(lanczos)).all()


def test_dip_at_a_factor_that_does_not_divide_32(tmp_path, save_noise):
    case = PROTOCOLS["dip"].prepare(Sample("a", save_noise(tmp_path / "a.png", 100, 200), None), 3)
    assert case.hr.shape == (3, 96, 192)
    assert case.lr.shape == (3, 32, 64)


@pytest.mark.parametrize(("protocol", "channels"), [("rgb8", 1), ("colour8", 3), ("matlab8", 1), ("dip", 3)])
def test_grey_pictures(protocol, channels, tmp_path, save_noise):
    case = PROTOCOLS[protocol].prepare(Sample("a", save_noise(tmp_path / "a.png", 64, 64, "L"), None), 4)
    assert len(case.hr) == len(case.lr) == channels
    scores = PROTOCOLS[protocol].score(fastsr.resize(case.lr, 4), case, 4)
    assert (scores.psnr_y == pytest.approx(scores.psnr_rgb)) is (channels == 1)


@pytest.mark.parametrize(("hr", "lr"), [("L", "RGB"), ("RGB", "L")])
def test_grey_beside_colour_is_colour(hr, lr, tmp_path, save_noise):
    paths = save_noise(tmp_path / "a.png", 64, 64, hr), save_noise(tmp_path / "b.png", 16, 16, lr)
    case = PROTOCOLS["rgb8"].prepare(Sample("a", *paths), 4)
    assert len(case.hr) == len(case.lr) == 3
    assert torch.equal(case.hr if hr == "L" else case.lr, eight_bits(paths[hr == "RGB"]).expand(3, -1, -1))


@pytest.mark.parametrize(
    ("protocol", "rounding", "shave_y", "shave_rgb"),
    [("rgb8", "rgb8", 8, 8), ("colour8", "rgb8", 8, 8), ("matlab8", "matlab8", 8, 8), ("dip", "rgb8", 4, 0)],
)
def test_scores_are_those_of_the_metrics(protocol, rounding, shave_y, shave_rgb, tmp_path, save_noise):
    case = PROTOCOLS[protocol].prepare(Sample("a", save_noise(tmp_path / "a.png", 64, 96), None), 8)
    result = fastsr.resize(case.lr, 8)
    scores = PROTOCOLS[protocol].score(result, case, 8)
    assert scores.psnr_y == fastsr.metrics.psnr(result, case.hr, shave=shave_y, protocol=rounding)
    assert scores.ssim == fastsr.metrics.ssim(result, case.hr, shave=shave_y, protocol=rounding)
    assert scores.psnr_rgb == fastsr.metrics.psnr(result, case.hr, channel="rgb", shave=shave_rgb)
    assert 10 < scores.lr_consistency < math.inf


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_reference_explains_its_input(protocol, tmp_path, save_noise):
    case = PROTOCOLS[protocol].prepare(Sample("a", save_noise(tmp_path / "a.png", 64, 96), None), 4)
    assert PROTOCOLS[protocol].score(case.hr, case, 4).lr_consistency == math.inf


def test_files_of_an_old_matlab_are_explained_by_its_border(data):
    for sample in find_benchmark(data / "Set5", 4).samples:
        case = PROTOCOLS["rgb8"].prepare(sample, 4)
        assert PROTOCOLS["rgb8"].score(case.hr, case, 4).lr_consistency == math.inf


@pytest.mark.parametrize(
    ("benchmark", "protocol", "files", "expected"),
    [
        ("Set5", "matlab8", True, "28.418/0.8101"),
        ("Set5", "rgb8", False, "28.429/0.8111"),
        ("Set14", "matlab8", True, "25.993/0.7023"),
        ("Set14", "rgb8", False, "25.994/0.7029"),
        ("Set14", "colour8", False, "26.088/0.7048"),
    ],
)
def test_bicubic_means_of_the_literature(benchmark, protocol, files, expected, data):
    scores = []
    for sample in find_benchmark(data / benchmark, 4).samples:
        case = PROTOCOLS[protocol].prepare(sample if files else Sample(sample.name, sample.hr, None), 4)
        scores.append(PROTOCOLS[protocol].score(fastsr.resize(case.lr, 4), case, 4))
    assert f"{np.mean([s.psnr_y for s in scores]):.3f}/{np.mean([s.ssim for s in scores]):.4f}" == expected


@pytest.mark.parametrize(
    ("protocol", "hr", "lr", "factor", "message"),
    [
        ("rgb8", (32, 40), (8, 9), 4, r"b.png' is 9x8 pixels, and '.*a.png' of 40x32 needs 10x8 at factor=4"),
        ("rgb8", (3, 40), None, 4, "a.png' is 40x3 pixels, too small for factor=4"),
        ("dip", (64, 31), None, 4, "a.png' is 28x64 pixels; protocol dip needs 32 on each side"),
    ],
)
def test_sizes_that_cannot_be_used(protocol, hr, lr, factor, message, tmp_path, save_noise):
    sample = Sample("a", save_noise(tmp_path / "a.png", *hr), lr and save_noise(tmp_path / "b.png", *lr))
    with pytest.raises(InputError, match=message):
        PROTOCOLS[protocol].prepare(sample, factor)


def test_an_unknown_protocol_is_refused():
    with pytest.raises(InputError, match="protocol='float' is unknown; use one of rgb8, colour8, matlab8, dip"):
        find_protocol("float")


def test_eight_bits_rounds_and_drops_alpha():
    picture = torch.tensor([0.0, 0.4 / 255, 0.6 / 255, 1.0]).view(1, 2, 2).expand(4, -1, -1)
    assert eight_bits(picture).tolist() == [[[0, 0], [1, 255]]] * 3
    assert eight_bits(np.array([[128 * 257]], np.uint16)).tolist() == [[[128]]]
