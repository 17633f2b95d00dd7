import re

import pytest

from fastsr.data.training import find_training_pictures
from fastsr.errors import InputError, MissingFileError


def names(pictures, folder):
    return [
        tuple(None if part is None else str(part.path.relative_to(folder)) for part in (picture.hr, picture.lr))
        for picture in pictures
    ]


def test_folders_of_pictures(tmp_path, save_noise):
    for name in ("b/2.png", "b/1.jpg", "a/1.png"):
        save_noise(tmp_path / name, 8, 8)
    found = find_training_pictures([tmp_path / "b", str(tmp_path / "a")], 4)
    assert names(found, tmp_path) == [("b/1.jpg", None), ("b/2.png", None), ("a/1.png", None)]


def test_pairs_as_div2k_has_them(tmp_path, save_noise):
    save_noise(tmp_path / "DIV2K_train_HR" / "0001.png", 8, 8)
    save_noise(tmp_path / "DIV2K_train_LR_bicubic" / "X4" / "0001x4.png", 2, 2)
    pair = ("DIV2K_train_HR/0001.png", "DIV2K_train_LR_bicubic/X4/0001x4.png")
    assert names(find_training_pictures([tmp_path], 4), tmp_path) == [pair]
    assert names(find_training_pictures([tmp_path], 2), tmp_path) == [(pair[0], None)]


def test_folders_agree_in_whether_they_have_lr(tmp_path, save_noise):
    for name in ("pairs/HR/a.png", "pairs/LR/a.png", "plain/b.png"):
        save_noise(tmp_path / name, 8, 8)
    folders = [tmp_path / "plain", tmp_path / "pairs"]
    message = f"data={str(folders[1])!r} has LR files of factor=4 and data={str(folders[0])!r} has none"
    with pytest.raises(InputError, match=re.escape(message)):
        find_training_pictures(folders, 4)
    assert len(find_training_pictures([tmp_path / "plain", tmp_path / "pairs" / "HR"], 4)) == 2


def test_folders_that_cannot_be_used(tmp_path, save_noise):
    with pytest.raises(InputError, match="no folder; give at least one"):
        find_training_pictures([], 4)
    with pytest.raises(MissingFileError, match="nowhere' does not exist"):
        find_training_pictures([tmp_path / "nowhere"], 4)
    with pytest.raises(InputError, match="holds no image"):
        find_training_pictures([tmp_path], 4)
    with pytest.raises(InputError, match=r"a\.png' is a file; give a folder of training pictures"):
        find_training_pictures([save_noise(tmp_path / "a.png", 8, 8)], 4)
