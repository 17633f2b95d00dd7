"""``fastsr prepare``, as a user types it."""

import pytest
from PIL import Image

from tests import command_line


def run(*arguments):
    return command_line.run("prepare", *arguments, "--workers", 1)


@pytest.fixture
def folder(tmp_path, save_noise):
    for name in "ab":
        save_noise(tmp_path / "in" / f"{name}.png", 40, 50)
    return tmp_path / "in"


def size(path):
    with Image.open(path) as image:
        return image.size


def test_factor_4_is_the_default(folder, tmp_path):
    out = tmp_path / "out"
    assert run(folder, "-o", out) == (0, f"{out}: 2 prepared, 0 there already\n", "")
    assert size(out / "HR" / "a.png") == (48, 40)
    assert size(out / "LR_bicubic" / "X4" / "b.png") == (12, 10)
    (out / "HR" / "b.png").unlink()
    assert run(folder, "-o", out) == (0, f"{out}: 1 prepared, 1 there already\n", "")


def test_the_help_shows_the_default():
    status, out, _ = run("--help")
    assert status == 0
    assert "[default: 4; x>=2]" in " ".join(out.split())


def test_every_option_is_passed_on(folder, tmp_path):
    pytest.importorskip("lmdb")
    out = tmp_path / "out"
    status, _, err = run(folder, "-o", out, "--factor", 2, "--factor", 4, "--sr", "--lmdb", "--crop", 32, "--step", 16)
    assert (status, err) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == [
        "HR.lmdb",
        "LR_bicubic_X2.lmdb",
        "LR_bicubic_X4.lmdb",
        "SR_bicubic_X2.lmdb",
        "SR_bicubic_X4.lmdb",
        "settings.json",
    ]
    assert "b_s004.png (8,8,3) 6\n" in (out / "LR_bicubic_X4.lmdb" / "meta_info.txt").read_text()


def test_two_sizes_make_squares(folder, tmp_path):
    out = tmp_path / "out"
    assert run(folder, "-o", out, "--size", "4,16") == (0, f"{out}: 2 prepared, 0 there already\n", "")
    assert sorted(path.name for path in out.iterdir()) == ["hr_16", "lr_4", "settings.json", "sr_4_16"]
    assert [size(out / part / "a.png") for part in ("hr_16", "lr_4", "sr_4_16")] == [(16, 16), (4, 4), (16, 16)]


def test_squares_are_one_database(folder, tmp_path):
    pytest.importorskip("lmdb")
    assert run(folder, "-o", tmp_path / "out", "--size", "4,16", "--lmdb")[0] == 0
    assert (tmp_path / "out" / "squares_4_16.lmdb" / "data.mdb").exists()


def test_a_bad_picture_is_one_line_and_status_2(folder, tmp_path):
    bad = folder / "bad.png"
    bad.write_text("no picture")
    status, out, err = run(folder, "-o", tmp_path / "out")
    assert (status, out) == (2, f"{tmp_path / 'out'}: 2 prepared, 0 there already\n")
    assert err == f"Error: IN={str(bad)!r} is not an image that Pillow can read\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}", "--crop", "480"], "--crop 480 and no --step: give both or none"),
        (["{folder}", "--size", "4,16", "--factor", "4"], "--size 4,16 and --factor 4: give sizes alone"),
        (["{folder}", "--size", "4,16", "--sr"], "--size 4,16 and --sr: give sizes alone"),
        (["{folder}", "--size", "4x16"], "--size 4x16 is not two sides in pixels; give those of LR and HR, such as"),
        (["{folder}", "--size", "16,4"], "--size 16,4 cannot be used"),
        (["{folder}/a.png", "{folder}/../other/a.png"], "have one name"),
        (["missing"], "'missing' does not exist"),
        (["{folder}/*.jpg"], "holds no image"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, message, folder, tmp_path, save_noise):
    save_noise(tmp_path / "other" / "a.png", 8, 8)
    status, out, err = run(*(argument.format(folder=folder) for argument in arguments), "-o", tmp_path / "out")
    assert (status, out) == (2, "")
    assert err.startswith("Error: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
