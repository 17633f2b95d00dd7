import pytest
import torch

from fastsr import metrics
from fastsr.data.protocols import eight_bits
from fastsr.errors import InputError
from fastsr.images import load, read, save
from fastsr.resize import resize
from fastsr.training.validation import LARGEST_SIDE, SHOWN, Validation, sheet


def bicubic(pixels):
    return resize(pixels, 4)


def test_scores_are_means_by_the_protocol(save_noise, tmp_path):
    for size in (40, 50):
        save_noise(tmp_path / "val" / f"{size}.png", size, size)
    expected = []
    for size in (40, 50):
        hr = (load(tmp_path / "val" / f"{size}.png") * 255).round().byte()[:, : size // 4 * 4, : size // 4 * 4]
        made = eight_bits(bicubic(resize(hr, 0.25) / 255))
        lr = metrics.lr_consistency(made, resize(hr, 0.25))
        expected.append((metrics.psnr(made, hr, shave=4), metrics.ssim(made, hr, shave=4), lr))
    found = Validation(tmp_path / "val", 4).scores(bicubic)
    assert list(found) == ["psnr", "ssim", "consistency"]  # the best weights are those by the first
    assert list(found.values()) == [pytest.approx(sum(values) / 2) for values in zip(*expected, strict=True)]


def test_a_result_that_explains_its_input_has_a_finite_consistency(save_noise, tmp_path):
    save_noise(tmp_path / "val" / "a.png", 64, 64)
    hr = (load(tmp_path / "val" / "a.png") * 255).round().byte()
    least = torch.zeros(3, 16, 16, dtype=torch.uint8)
    least[1, 2, 3] = 1
    best = metrics.psnr(least, torch.zeros_like(least), channel="rgb")
    found = Validation(tmp_path / "val", 4).scores(lambda pixels: hr[None] / 255)
    assert metrics.lr_consistency(hr, resize(hr, 0.25)) == found["psnr"] == float("inf")
    assert found["consistency"] == pytest.approx(best)
    save_noise(tmp_path / "val" / "b.png", 80, 80)
    grey = Validation(tmp_path / "val", 4).scores(
        lambda pixels: torch.full((1, 3, *(4 * s for s in pixels.shape[2:])), 0.5)
    )
    assert 0 < grey["consistency"] < 30


def test_consistency_is_by_how_inputs_were_made(save_noise, tmp_path):
    path = save_noise(tmp_path / "Set" / "image_SRF_4" / "a_SRF_4_HR.png", 64, 64)
    hr = (load(path) * 255).round().byte()
    lr = path.with_name("a_SRF_4_LR.png")
    save(resize(hr, 0.25, border="replicate"), lr)
    validation = Validation(tmp_path / "Set", 4)
    assert validation.scores(lambda pixels: hr[None] / 255)["consistency"] > 70
    assert metrics.lr_consistency(hr, read(lr).pixels[0]) < 70


def test_pictures_are_read_once(save_noise, tmp_path):
    path = save_noise(tmp_path / "val" / "a.png", 40, 40)
    validation = Validation(tmp_path / "val", 4)
    path.unlink()
    assert validation.scores(bicubic)["psnr"] > 0
    assert len(validation.shown()) == 1


def test_what_cannot_be_validated_on_is_told_at_once(save_noise, tmp_path):
    save_noise(tmp_path / "small" / "a.png", 18, 40)
    with pytest.raises(
        InputError, match=r"val='.*small' has the picture 'a'.* at factor=4 it has 40x16 pixels, .* 19 on"
    ):
        Validation(tmp_path / "small", 4)
    save_noise(tmp_path / "edge" / "a.png", 20, 20)
    assert Validation(tmp_path / "edge", 4).scores(bicubic)["ssim"] < 1
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "b.png").write_text("no picture")
    with pytest.raises(InputError, match=r"val='.*broken' has the picture 'b', which cannot be used: .*b\.png"):
        Validation(tmp_path / "broken", 4)
    save_noise(tmp_path / "pairs" / "HR" / "c.png", 40, 40)
    save_noise(tmp_path / "pairs" / "LR" / "c.png", 10, 11)
    with pytest.raises(InputError, match=r"val='.*pairs' has the picture 'c', .*LR/c\.png' is 11x10 pixels"):
        Validation(tmp_path / "pairs", 4)


def test_a_benchmark_is_known_by_its_pictures(save_noise, tmp_path):
    def name(folder, size):
        save_noise(tmp_path / folder / "Set" / "a.png", size, size)
        return Validation(tmp_path / folder / "Set", 4).name

    one, copy, other = name("one", 40), name("copy", 40), name("other", 44)
    assert one == copy != other
    assert one.startswith("Set of digest ")


def test_the_middle_of_the_first_pictures_is_shown(save_noise, tmp_path):
    for index in range(SHOWN + 1):
        save_noise(tmp_path / "val" / f"{index}.png", 50 + index, 2 * LARGEST_SIDE)
    shown = Validation(tmp_path / "val", 4).shown()
    assert len(shown) == SHOWN
    lr, hr = shown[1]
    whole = (load(tmp_path / "val" / "1.png") * 255).round().byte()
    assert torch.equal(hr, whole[:, :48, LARGEST_SIDE // 2 : LARGEST_SIDE // 2 + LARGEST_SIDE])
    assert lr.shape == (3, 12, LARGEST_SIDE // 4)
    assert torch.equal(lr, resize(whole[:, :48], 0.25)[:, :, LARGEST_SIDE // 8 : LARGEST_SIDE // 8 + LARGEST_SIDE // 4])


def test_a_sheet_has_lr_result_and_hr_of_each_picture(tmp_path):
    lr, hr = torch.zeros(3, 10, 10, dtype=torch.uint8), torch.full((3, 40, 40), 255, dtype=torch.uint8)
    made = read(sheet(lambda pixels: torch.full((1, 3, 40, 40), 0.5), [(lr, hr), (lr, hr)])).pixels[0]
    height = made.shape[1] // 2
    assert torch.equal(made[:, :height], made[:, height:])
    row = made[0, height - 20]
    assert [((row - value).abs() < 0.01).sum().item() for value in (0, 0.5)] == [40, 40]
    assert (row > 0.99).sum() > 40
