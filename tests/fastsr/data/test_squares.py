import io
import re

import numpy as np
import pytest
from PIL import Image

import fastsr
from fastsr.data.crops import Crops
from fastsr.data.prepare import Prepared, prepare
from fastsr.data.squares import Squares
from fastsr.data.training import find_training_pictures
from fastsr.errors import InputError

SIZES = (4, 16)


@pytest.fixture
def folder(tmp_path, save_noise):
    for name, height, width, mode in (("a.png", 37, 50, "RGB"), ("b.jpg", 16, 16, "RGB"), ("c.png", 30, 17, "L")):
        save_noise(tmp_path / "in" / name, height, width, mode)
    return tmp_path / "in"


def made(path, sizes=SIZES):
    """What is made of a picture, by part."""
    return {one.part: np.asarray(Image.open(io.BytesIO(one.png))) for one in Squares(sizes).make(path)}


@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [("a.png", slice(37), slice(6, 43)), ("b.jpg", slice(16), slice(16)), ("c.png", slice(6, 23), slice(17))],
)
def test_each_part_is_the_one_before_resized(name, rows, columns, folder):
    middle = np.asarray(Image.open(folder / name).convert("RGB"))[rows, columns]
    parts = made(folder / name)
    assert list(parts) == Squares(SIZES).parts == ["hr_16", "lr_4", "sr_4_16"]
    assert np.array_equal(parts["hr_16"], fastsr.resize(middle, size=(16, 16)))
    assert np.array_equal(parts["lr_4"], fastsr.resize(parts["hr_16"], 1 / 4))
    assert np.array_equal(parts["sr_4_16"], fastsr.resize(parts["lr_4"], 4))
    assert all(part.dtype == np.uint8 and part.shape[2] == 3 for part in parts.values())


def test_a_square_of_the_size_stays_as_it_is(folder):
    assert np.array_equal(made(folder / "b.jpg")["hr_16"], np.asarray(Image.open(folder / "b.jpg")))


def test_pictures_turned_by_exif_are_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    values = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(made(tmp_path / "a.png")["hr_16"], values[::-1, ::-1])


def test_folders_are_prepared_and_read(folder, tmp_path):
    out = tmp_path / "out"
    assert prepare([folder], out, sizes=SIZES, workers=1, progress=False) == Prepared(3, 0, {})
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    assert files == [f"{part}/{name}.png" for part in ("hr_16", "lr_4") for name in "abc"] + ["settings.json"] + [
        f"sr_4_16/{name}.png" for name in "abc"
    ]
    for name, picture in zip(("a.png", "b.jpg", "c.png"), find_training_pictures([out], 4), strict=True):
        parts = made(folder / name)
        for read, part in zip(picture.read(4), ("hr_16", "lr_4"), strict=True):
            assert np.array_equal(read.permute(1, 2, 0).numpy(), parts[part])
    (out / "sr_4_16" / "b.png").unlink()
    assert prepare([folder], out, sizes=SIZES, workers=1, progress=False) == Prepared(1, 2, {})
    assert Crops(find_training_pictures([out], 4), 16, 4, 0)[0]["lr"].shape == (3, 4, 4)


def test_pictures_are_not_enlarged(folder, tmp_path, save_noise):
    small = save_noise(folder / "small.png", 15, 40)
    done = prepare([folder], tmp_path / "out", sizes=SIZES, workers=1, progress=False)
    assert done.made == 3
    assert str(done.failures[small]) == f"{str(small)!r} is 40x15 pixels; squares of 16x16 need 16 on each side"


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((16,), "sizes=(16,) cannot be used; give the sides of LR and HR, such as 16 and 128"),
        ((16, 32, 64), "sizes=(16, 32, 64) cannot be used; give the sides"),
        ((0, 16), "sizes=(0, 16) cannot be used; give the sides"),
        ((16, 16), "sizes=(16, 16) cannot be used; the second one, of HR, is a multiple of the first"),
        ((128, 16), "sizes=(128, 16) cannot be used; the second one"),
        ((16, 100), "sizes=(16, 100) cannot be used; the second one"),
    ],
)
def test_sizes_that_cannot_be_used(sizes, message, folder, tmp_path):
    with pytest.raises(InputError, match=re.escape(message)):
        prepare([folder], tmp_path / "out", sizes=sizes, progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": (4,)}, "sizes=(4, 16) and factors=(4,): give sizes alone, or leave it out"),
        ({"sr": True, "crop": 16, "step": 8}, "sizes=(4, 16) and sr=True, crop=16, step=8: give sizes alone"),
    ],
)
def test_sizes_say_all_that_is_made(options, message, folder, tmp_path):
    with pytest.raises(InputError, match=re.escape(message)):
        prepare([folder], tmp_path / "out", sizes=SIZES, progress=False, **options)
    assert not (tmp_path / "out").exists()


def test_settings_are_not_mixed(folder, tmp_path):
    for name, first, second, message in (
        ("a", {"sizes": SIZES}, {"sizes": (2, 16)}, "sizes was [4, 16] and is [2, 16]"),
        ("b", {"sizes": SIZES}, {}, "factors was None and is [4]"),
        ("c", {}, {"sizes": SIZES}, "sizes was None and is [4, 16]"),
    ):
        prepare([folder], tmp_path / name, workers=1, progress=False, **first)
        with pytest.raises(InputError, match=re.escape(message)):
            prepare([folder], tmp_path / name, workers=1, progress=False, **second)
