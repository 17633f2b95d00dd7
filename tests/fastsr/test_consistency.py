"""The downscale operator, its adjoint and its pseudo-inverse, and results made to agree with their input."""

import time

import numpy as np
import pytest
import torch
from PIL import Image

import fastsr
from fastsr.consistency import CLOSE, Downscale, agree, project, remade_to_agree
from fastsr.errors import InputError, NotEnoughMemoryError
from fastsr.images import load, read
from fastsr.imresize import imresize

SIZES = [((32, 40), (8, 5)), ((37, 23), (11, 20)), ((12, 12), (8, 8))]
LEVEL = 1 / 255


@pytest.mark.parametrize(("large", "small"), SIZES)
@pytest.mark.parametrize("kernel", ["lanczos2", "cubic"])
def test_adjoint(large, small, kernel):
    operator = Downscale(large, small, kernel=kernel)
    x, y = torch.rand(1, 2, *large, dtype=torch.float64), torch.rand(1, 2, *small, dtype=torch.float64)
    assert (operator(x) * y).sum().item() == pytest.approx((x * operator.adjoint(y)).sum().item(), rel=1e-12)


@pytest.mark.parametrize(("large", "small"), SIZES)
def test_pseudo_inverse_is_the_least_norm_solution(large, small):
    operator = Downscale(large, small)
    y = torch.rand(1, 1, *small, dtype=torch.float64)
    x = operator.pseudo_inverse(y)
    torch.testing.assert_close(operator(x), y, rtol=0, atol=1e-10)
    # Any other solution differs by something A does not see, and is longer.
    unseen = torch.rand_like(x)
    unseen = unseen - operator.pseudo_inverse(operator(unseen))
    assert unseen.norm() > 0.1
    assert (x * unseen).sum().abs() < 1e-9


def test_project_moves_to_the_nearest_agreeing_picture():
    operator = Downscale((32, 32), (8, 8))
    x, y = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 8, 8)
    projected = operator.project(x, y)
    assert (operator(projected) - y).abs().max() < 1e-5
    torch.testing.assert_close(operator.project(projected, y), projected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("large", "condition"), [(128, 2.11), (192, 2.05), (256, 2.06), (512, 2.06), (173, 2.06), (70, 3.22), (65, 14.98)]
)
def test_bicubic_downscales_are_well_conditioned(large, condition):
    """To 64 pixels, along one axis; near a ratio of 1 the kernel almost loses what is half a pixel off."""
    dense = Downscale((large, large), (64, 64), kernel="cubic", border="symmetric").tables[0].dense()
    assert torch.linalg.cond(dense @ dense.mT).item() == pytest.approx(condition, abs=0.01)


@pytest.mark.parametrize("large", [1400, 707])
def test_what_is_left_out_of_the_inverse_is_nothing(large):
    operator = Downscale((large, 8), (700, 4), kernel="cubic", border="symmetric")
    y = torch.rand(700, 4, dtype=torch.float64)
    again = operator(operator.adjoint(operator.solve(y)))
    torch.testing.assert_close(again, y, rtol=0, atol=1e-12)


def test_the_inverse_for_a_long_axis_is_made_in_no_time():
    """As a dense matrix it would take several seconds."""
    operator = Downscale((12288, 4), (3072, 4), kernel="cubic", border="symmetric")
    assert operator.tables[0].taps < 20
    y = torch.rand(3072, 4, dtype=torch.float64)
    begin = time.process_time()
    solved = operator.solve(y)
    assert time.process_time() - begin < 2
    torch.testing.assert_close(operator(operator.adjoint(solved)), y, rtol=0, atol=1e-12)


# Results that agree


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def to_8_bits(x):
    return (x * 255 + 0.5).floor().clamp(0, 255).to(torch.uint8)


def photo(*shape, seed=0):
    """A smooth random picture, black in places and white in others."""
    coarse = 2 * random(shape[0], 6, 6, seed=seed) - 0.5
    return imresize(coarse, size=shape[1:]).clamp(0, 1)


def levels_off(result, lr):
    """How far the downscale of an 8-bit picture is from `lr`, in levels, (C, h, w)."""
    return imresize(result.double(), size=lr.shape[-2:]) - lr.double()


def assert_agrees(result, lr):
    """Both are 8-bit pictures (C, H, W)."""
    off = levels_off(result, lr)
    again = imresize(result.double(), size=lr.shape[-2:]).add(0.5).floor()
    assert (again - lr.double()).abs().max() <= 1
    assert (again != lr).double().mean() < 0.005
    assert off.mean((1, 2)).abs().max() < 0.1


@pytest.mark.parametrize("size", [(48, 40), (72, 60), (96, 80), (192, 160), (65, 54), (30, 25)])
def test_a_result_s_downscale_is_its_input(size):
    lr = to_8_bits(imresize(photo(3, *size), size=(24, 20)))
    sr = to_8_bits(imresize(lr.float() / 255, size=size) - 20 / 255 + 0.1 * (random(3, *size) - 0.5))
    result = project(sr, lr)
    assert result.dtype == torch.uint8
    assert result.shape == sr.shape
    assert levels_off(sr, lr).abs().max() > 10
    assert (levels_off(sr, lr).mean((1, 2)).abs() > 5).all()
    assert_agrees(result, lr)


@pytest.mark.parametrize("factor", [2, 2.7, 4, 8])
@pytest.mark.parametrize("name", ["Set5/image_SRF_4/img_003_SRF_4_HR.png", "faces/val/0002.jpg"])
def test_a_photograph_s_downscale_is_its_input(name, factor, data):
    hr = to_8_bits(load(data / name))[:, :256, :256]
    lr = fastsr.resize(hr, size=[round(256 / factor)] * 2)
    sr = to_8_bits(imresize(lr.float() / 255, size=(256, 256)) - 8 / 255 + 0.2 * (random(3, 256, 256) - 0.5))
    result = project(sr, lr)
    assert_agrees(result, lr)
    # What is rounded and clipped between the passes as well may differ in a few pixels.
    assert ((fastsr.resize(result, size=lr.shape[-2:]).double() - lr.double()).abs() > 1).double().mean() < 0.001
    assert fastsr.metrics.psnr(result, hr) > fastsr.metrics.psnr(sr, hr)


def test_clipping_once_would_not_do():
    """Where colours are clipped the downscale is off again, and one round does not mend that."""
    y = photo(1, 3 * 24, 20).view(1, 3, 24, 20)
    x = (imresize(y, 4) + 0.5 * (random(1, 3, 96, 80) - 0.5)).clamp(0, 1)
    operator = Downscale((96, 80), (24, 20), kernel="cubic", border="symmetric")
    once, result = operator.project(x, y).clamp(0, 1), agree(x, y)
    assert (operator(once) - y).abs().max() > 4 * LEVEL
    assert (operator(result) - y).abs().max() <= CLOSE
    assert 0 <= result.min() <= result.max() <= 1


def test_it_is_the_nearest_such_picture():
    y = imresize(photo(1, 48, 48), 1 / 4)[None]
    x = (imresize(y, 4) + 0.3 * (random(1, 1, 48, 48) - 0.5)).clamp(0, 1)
    operator = Downscale((48, 48), (12, 12), kernel="cubic", border="symmetric")
    result = agree(x, y)
    # From it, the way to any picture that agrees leads away from x.
    for seed in range(5):
        other = random(1, 1, 48, 48, seed=seed)
        for _ in range(300):
            other = operator.project(other, y).clamp(0, 1)
        assert (operator(other) - y).abs().max() < LEVEL
        assert ((other - result) * (result - x)).sum() > -0.01 * (other - result).norm() * (result - x).norm()
        assert (other - x).norm() > (result - x).norm()


def test_what_agrees_stays():
    x = 0.2 + 0.6 * photo(3, 40, 44)
    y = imresize(x, size=(10, 11))
    assert (project(x, y) - x).abs().max() < 1e-6


def test_a_shift_of_less_than_a_level_is_mended_too():
    x = 0.3 + 0.4 * photo(3, 40, 44)
    result = project(x, imresize(x, size=(10, 11)) + 0.2 * LEVEL)
    assert (result - x).mean().item() == pytest.approx(0.2 * LEVEL, rel=0.01)


def test_where_no_picture_agrees_the_result_is_near():
    """No picture in [0, 1] is made pixels of alternating black and white."""
    y = (torch.arange(12)[:, None] + torch.arange(12) & 1).float().expand(1, 1, 12, 12)
    x = imresize(y, 4).clamp(0, 1)
    operator = Downscale((48, 48), (12, 12), kernel="cubic", border="symmetric")
    result = agree(x, y)
    off = [(operator(picture) - y).norm() for picture in (x, operator.project(x, y).clamp(0, 1), result)]
    assert off[2] < off[1] < off[0]
    assert result.isfinite().all()


def test_kernels_differ():
    x, y = photo(3, 40, 40), 0.3 + 0.4 * photo(3, 10, 10, seed=1)
    for kernel in ("lanczos3", "box", "bicubic"):
        result = project(x, y, kernel=kernel)
        assert (fastsr.resize(result, size=(10, 10), kernel=kernel) - y).abs().max() <= CLOSE + 1e-6
    assert (fastsr.resize(result, size=(10, 10), kernel="box") - y).abs().max() > 2 * LEVEL


def test_the_same_size_gives_the_input():
    assert (project(random(3, 9, 9), random(3, 9, 9, seed=1)) - random(3, 9, 9, seed=1)).abs().max() < 1e-6


def test_each_of_a_batch_is_what_it_would_be_alone():
    y = torch.stack([photo(3, 10, 11), 0.3 + 0.4 * photo(3, 10, 11, seed=1)])
    x = random(2, 3, 40, 44)
    assert torch.equal(project(x, y), torch.stack([project(*pair) for pair in zip(x, y, strict=True)]))


def test_any_kind_comes_back(tmp_path):
    lr, sr = np.asarray(to_8_bits(photo(3, 10, 11)).permute(1, 2, 0)), np.full((40, 44, 3), 90, np.uint8)
    expected = project(sr, lr)
    assert (expected.dtype, expected.shape) == (np.uint8, sr.shape)
    Image.fromarray(lr).save(tmp_path / "lr.png")
    result = project(Image.fromarray(sr), tmp_path / "lr.png")
    assert np.array_equal(np.asarray(result), expected)
    listed = project([sr, [torch.full((1, 20, 20), 0.5)]], [lr, torch.full((1, 5, 5), 0.25)])
    assert np.array_equal(listed[0], expected)
    torch.testing.assert_close(listed[1][0], torch.full((1, 20, 20), 0.25))
    assert isinstance(project(read(sr), lr), type(read(sr)))


def test_sixteen_bits_are_not_eight():
    lr = (imresize(photo(1, 40, 44), 1 / 4) * 65535).clamp(0, 65535).round().to(torch.uint16)
    result = project((photo(1, 40, 44, seed=1) * 65535).round().to(torch.uint16), lr)
    off = imresize(result.double(), size=(10, 11)) - lr.double()
    assert result.dtype == torch.uint16
    assert off.abs().max() <= 65535 * CLOSE + 1


def transparent(size, seed=0):
    alpha = photo(1, *size, seed=seed + 10)
    alpha[:, :, : size[1] // 3] = 0
    return torch.cat([photo(3, *size, seed=seed), alpha])


def assert_seen_colours_agree(result, lr):
    again = fastsr.resize(result, size=lr.shape[-2:])
    seen = (lr[3] > 0.5) & (again[3] > 0.5)
    assert 0.2 < seen.double().mean() < 0.9
    assert (again[:3] - lr[:3])[:, seen].abs().max() < 5 * LEVEL
    assert (again[:3] - lr[:3])[:, seen].abs().mean() < 0.2 * LEVEL


def test_colours_agree_where_they_are_seen_and_alpha_stays():
    hr = transparent((48, 48))
    lr, sr = fastsr.resize(hr, 1 / 4), torch.cat([photo(3, 48, 48, seed=1), hr[3:]])
    result = project(sr, lr)
    assert torch.equal(result[3], hr[3])
    assert_seen_colours_agree(result, lr)


def test_what_is_invisible_does_not_count():
    lr, sr = transparent((12, 12)), transparent((48, 48), seed=1)
    results = []
    for colour in (0.0, 1.0):
        lr[:3, :, :4] = colour
        results.append(project(sr, lr))
    assert torch.equal(*results)


def test_opaque_pictures_with_alpha_are_those_without():
    x, y = photo(3, 40, 44), photo(3, 10, 11, seed=1)
    with_alpha = project(*(torch.cat([image, torch.ones_like(image[:1])]) for image in (x, y)))
    assert (with_alpha[:3] - project(x, y)).abs().max() < 0.01 * LEVEL


def test_a_picture_is_remade_to_agree():
    lr = fastsr.resize(transparent((48, 48)), 1 / 4)
    alpha = fastsr.resize(lr[3:], 4)
    result = remade_to_agree(read(lr), alpha * random(1, 3, 48, 48))
    assert (result[3:] - alpha).abs().max() < 1e-6
    assert_seen_colours_agree(result, lr)


def test_no_gradient_flows_through_and_the_operator_can_still_be_differentiated():
    large, small = (40, 41), (10, 9)  # no other test's: what is kept of a size is made here
    with torch.inference_mode():
        agree(random(1, 1, *large), random(1, 1, *small))
    x = random(1, 1, *large).requires_grad_()
    assert not agree(x, random(1, 1, *small)).requires_grad
    Downscale(large, small, "cubic", "symmetric").project(x, random(1, 1, *small)).sum().backward()
    assert x.grad.isfinite().all()


def test_a_result_that_does_not_fit_into_memory_is_refused(monkeypatch):
    monkeypatch.setattr("fastsr.device.available_memory", lambda device: 2**16)
    with pytest.raises(NotEnoughMemoryError, match="making a result of 100x90 pixels agree"):
        project(random(3, 90, 100), random(3, 9, 10))


@pytest.mark.parametrize(
    ("sr", "lr", "options", "message"),
    [
        ((3, 40, 40), (1, 10, 10), {}, "sr is 40x40 pixels of RGB and lr is 10x10 pixels of grey; "),
        ((4, 40, 40), (3, 10, 10), {}, "sr is 40x40 pixels of RGB and alpha and lr is 10x10 pixels of RGB; "),
        ((1, 40, 40), (2, 10, 10), {}, "sr is 40x40 pixels of grey and lr is 10x10 pixels of grey and alpha; "),
        ((2, 3, 40, 40), (3, 10, 10), {}, "sr is 2 times 40x40 pixels of RGB and lr is 10x10 pixels of RGB; "),
        ((3, 40, 9), (3, 10, 10), {}, "sr is 9x40 pixels of RGB and lr is 10x10 pixels of RGB; lr is the smaller one"),
        ((3, 40, 40), (3, 10, 10), {"kernel": "cubic"}, "kernel='cubic' is unknown"),
        ((5, 40, 40), (3, 10, 10), {}, r"sr has shape \(5, 40, 40\)"),
        ((3, 40, 40), (5, 10, 10), {}, r"lr has shape \(5, 10, 10\)"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(sr, lr, options, message):
    with pytest.raises(InputError, match=message):
        project(random(*sr), random(*lr), **options)


def test_pictures_come_in_pairs():
    x, y = random(3, 40, 40), random(3, 10, 10)
    with pytest.raises(InputError, match="sr has a list of 2 and lr has a list of 1; give them in pairs"):
        project([x, x], [y])
    with pytest.raises(InputError, match="sr has a list of 1 and lr has one image"):
        project([x], y)
    with pytest.raises(InputError, match=r"sr\[1\] is 40x40 pixels of RGB and lr\[1\] is 10x10 pixels of grey"):
        project([x, x], [y, y[:1]])
