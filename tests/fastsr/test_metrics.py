import math

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

import fastsr
from fastsr.errors import InputError, InputTypeError
from fastsr.metrics import lr_consistency, psnr, ssim

# Means over a benchmark of bicubic upscaling: PSNR / SSIM on Y, shave = factor. The first pair is from the
# low-resolution files that are shipped with the sets, which an old MATLAB made, by "matlab8"; the second from
# those that today's MATLAB makes, by "rgb8".
BICUBIC = {
    ("Set5", 2): ("33.640/0.9292", "33.673/0.9303"),
    ("Set5", 3): ("30.386/0.8678", "30.403/0.8689"),
    ("Set5", 4): ("28.418/0.8101", "28.429/0.8111"),
    ("Set14", 2): ("30.220/0.8683", "30.230/0.8691"),
    ("Set14", 3): ("27.533/0.7737", "27.537/0.7745"),
    ("Set14", 4): ("25.993/0.7023", "25.994/0.7029"),
}


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def by_hand(a, b):
    return 10 * math.log10(255**2 / np.mean((np.asarray(a, float) - b) ** 2))


def luma(rgb):
    return (np.asarray(rgb, float) @ [65.481, 128.553, 24.966]) / 255 + 16


def similarity(a, b):
    """SSIM by scikit-image, with the settings that make it the one of the paper."""
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return structural_similarity(np.asarray(a, float), np.asarray(b, float), **settings)


@pytest.mark.parametrize(("benchmark", "factor"), BICUBIC)
def test_bicubic_means_of_the_benchmarks(benchmark, factor, data):
    folder = data / benchmark / f"image_SRF_{factor}"
    high = sorted(folder.glob("*_HR.png"))
    shipped = sorted(folder.glob("*_LR.png"))
    assert len(high) == len(shipped) == int(benchmark.removeprefix("Set"))
    made = fastsr.resize(high, 1 / factor)
    for low, protocol, expected in zip((shipped, made), ("matlab8", "rgb8"), BICUBIC[benchmark, factor], strict=True):
        options = {"channel": "y", "shave": factor, "protocol": protocol}
        up = fastsr.resize(low, factor)
        assert f"{np.mean(psnr(up, high, **options)):.3f}/{np.mean(ssim(up, high, **options)):.4f}" == expected


def test_psnr_by_hand():
    a, b = noise(20, 30, 3), noise(20, 30, 3, seed=1)
    inner = np.s_[4:-4, 4:-4]
    assert psnr(a, b, channel="rgb") == pytest.approx(by_hand(a, b), abs=1e-9)
    assert psnr(a, b) == pytest.approx(by_hand(luma(a), luma(b)), abs=1e-9)
    assert psnr(a, b, shave=4) == pytest.approx(by_hand(luma(a[inner]), luma(b[inner])), abs=1e-9)


def test_matlab8_rounds_luma_halves_up():
    colours = np.stack(np.meshgrid(*[np.arange(0, 256, 17)] * 3), -1).reshape(64, 64, 3).astype(np.uint8)
    black = np.zeros_like(colours)
    expected = by_hand(np.floor(luma(colours) + 0.5), 16.0)
    assert psnr(colours, black, protocol="matlab8") == pytest.approx(expected, abs=1e-9)
    assert psnr(colours, black, protocol="matlab8") != psnr(colours, black)


def test_floats_are_rounded_but_by_the_float_protocol():
    a = np.random.default_rng(0).random((20, 30, 3)).astype(np.float32)
    b = noise(20, 30, 3)
    rounded = np.floor(a.astype(float) * 255 + 0.5)
    for channel, convert in (("rgb", np.asarray), ("y", luma)):
        assert psnr(a, b, channel=channel) == pytest.approx(by_hand(convert(rounded), convert(b)), abs=1e-9)
        expected = by_hand(convert(a.astype(float) * 255), convert(b))
        assert psnr(a, b, channel=channel, protocol="float") == pytest.approx(expected, abs=1e-6)
        assert psnr(a, b, channel=channel, protocol="float") != psnr(a, b, channel=channel)


@pytest.mark.parametrize("protocol", ["rgb8", "matlab8", "float"])
def test_grey_is_its_own_luma(protocol):
    a, b = noise(20, 30), noise(20, 30, seed=1)
    assert psnr(a, b, protocol=protocol) == pytest.approx(by_hand(a, b), abs=1e-4)
    assert ssim(a, b, protocol=protocol) == pytest.approx(similarity(a, b), abs=1e-4)


def test_grey_beside_colour_counts_as_colour():
    grey, colour = noise(20, 30), noise(20, 30, 3, seed=1)
    repeated = np.dstack([grey] * 3)
    assert psnr(grey, colour) == psnr(repeated, colour) == psnr(colour, grey)
    assert ssim(colour, grey, channel="rgb") == pytest.approx(ssim(colour, repeated, channel="rgb"))


@pytest.mark.parametrize("shave", [0, 3])
def test_ssim_equals_scikit_image(shave):
    a = noise(31, 40, 3) // 2 + noise(31, 40, 1, seed=2) // 2
    b = (a + noise(31, 40, 3, seed=1) // 4).astype(np.uint8)
    inner = np.s_[shave : 31 - shave, shave : 40 - shave]
    expected = similarity(luma(a)[inner], luma(b)[inner])
    assert 0.1 < expected < 0.95
    assert ssim(a, b, shave=shave) == pytest.approx(expected, abs=1e-10)
    channels = [similarity(a[..., i][inner], b[..., i][inner]) for i in range(3)]
    assert ssim(a, b, channel="rgb", shave=shave) == pytest.approx(np.mean(channels), abs=1e-10)


def test_equal_pictures():
    a = noise(12, 13, 3)
    assert psnr(a, a) == math.inf
    assert ssim(a, a) == pytest.approx(1, abs=1e-12)


def test_every_kind_gives_the_same_number(tmp_path):
    a, b = noise(20, 30, 3), noise(20, 30, 3, seed=1)
    expected = psnr(a, b)
    Image.fromarray(a).save(tmp_path / "a.png")
    tensor = torch.from_numpy(a).permute(2, 0, 1)
    for kind in (tmp_path / "a.png", Image.fromarray(a), tensor, tensor / 255, a.astype(np.uint16) * 257, a / 255):
        assert psnr(kind, b) == expected
    assert psnr(np.dstack([a, noise(20, 30)]), b) == expected  # alpha is ignored


def test_lists_and_batches_give_lists():
    a, b = noise(3, 20, 30, 3), noise(3, 20, 30, 3, seed=1)
    for measure in (psnr, ssim):
        singles = [measure(x, y) for x, y in zip(a, b, strict=True)]
        assert measure(a, b) == singles
        assert measure(list(a), b) == singles
        assert measure(list(a), list(b)) == singles
        assert isinstance(measure(a[:1], b[:1]), list)
    assert len(psnr([a[0], a[1, :9]], [b[0], b[1, :9]])) == 2


@pytest.mark.parametrize(
    ("a", "b", "options", "error", "message"),
    [
        (noise(4, 5), noise(5, 4), {}, InputError, "a is 5x4 pixels and b is 4x5"),
        (noise(2, 4, 5, 3), noise(4, 5, 3), {}, InputError, "a has 2 pictures and b has 1"),
        (noise(4, 5), [], {}, InputError, "b is an empty list"),
        (noise(4, 5), None, {}, InputTypeError, "b is a NoneType"),
        ([noise(4, 5)], [None], {}, InputTypeError, r"b\[0\] is a NoneType"),
        (noise(4, 5), noise(4, 5), {"shave": 2}, InputError, "shave=2 leaves nothing of 5x4 pixels"),
        (noise(4, 5), noise(4, 5), {"shave": -1}, InputError, "shave=-1 is negative"),
        (noise(4, 5), noise(4, 5), {"shave": 1.0}, InputTypeError, r"shave=1\.0 is a float"),
        (noise(4, 5), noise(4, 5), {"channel": "Y"}, InputError, "channel='Y' is unknown; use one of y, rgb"),
        (noise(4, 5), noise(4, 5), {"protocol": "y"}, InputError, "protocol='y' .* rgb8, matlab8, float"),
    ],
)
def test_what_cannot_be_compared_is_refused(a, b, options, error, message):
    for measure in (psnr, ssim):
        with pytest.raises(error, match=message):
            measure(a, b, **options)


def test_ssim_needs_a_window():
    assert isinstance(ssim(noise(11, 11), noise(11, 11, seed=1)), float)
    with pytest.raises(InputError, match=r"at least 11 pixels .* there are 40x9"):
        ssim(noise(11, 42), noise(11, 42), shave=1)


def test_lr_consistency_downscales_the_rounded_result():
    lr, result = noise(7, 9, 3), noise(21, 27, 3, seed=1)
    expected = by_hand(fastsr.resize(result, 1 / 3), lr)
    assert lr_consistency(result, lr) == pytest.approx(expected, abs=1e-9)
    between = np.clip(result / 255 + np.random.default_rng(2).uniform(-0.0019, 0.0019, result.shape), 0, 1)
    assert lr_consistency(between, lr) == lr_consistency(result, lr)
    assert lr_consistency(result, fastsr.resize(result, 1 / 3)) == math.inf


def test_lr_consistency_by_another_downscale():
    def downscale(picture, size):
        assert picture.dtype == torch.uint8
        return Image.fromarray(picture.permute(1, 2, 0).numpy()).resize(size[::-1], Image.Resampling.LANCZOS)

    result = noise(20, 24, 3)
    lr = np.asarray(Image.fromarray(result).resize((6, 5), Image.Resampling.LANCZOS))
    assert lr_consistency(result, lr, downscale=downscale) == math.inf
    assert lr_consistency(result, lr) < 60


def test_lr_consistency_of_lists():
    results, lrs = noise(3, 8, 12, 3), noise(3, 4, 6, 3, seed=1)
    singles = [lr_consistency(x, y) for x, y in zip(results, lrs, strict=True)]
    assert lr_consistency(results, list(lrs)) == singles
    with pytest.raises(InputError, match="result has 3 pictures and lr has 2"):
        lr_consistency(results, lrs[:2])
