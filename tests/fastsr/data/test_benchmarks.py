import re

import pytest

from fastsr.data.benchmarks import Sample, find_benchmark, select
from fastsr.errors import InputError, MissingFileError


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def found(folder, factor):
    """The names, and the files relative to the folder."""
    samples = find_benchmark(folder, factor).samples
    return [
        (s.name, str(s.hr.relative_to(folder)), None if s.lr is None else str(s.lr.relative_to(folder)))
        for s in samples
    ]


def self_ex_sr(folder, *factors):
    return make(
        folder,
        *(f"image_SRF_{n}/img_{i:03d}_SRF_{n}_{kind}.png" for n in factors for i in (2, 1) for kind in ("HR", "LR")),
    )


def test_self_ex_sr(tmp_path):
    folder = self_ex_sr(tmp_path / "Set0", 2, 4)
    expected = [
        (f"img_00{i}", f"image_SRF_4/img_00{i}_SRF_4_HR.png", f"image_SRF_4/img_00{i}_SRF_4_LR.png") for i in (1, 2)
    ]
    assert found(folder, 4) == expected
    benchmark = find_benchmark(folder / "image_SRF_4", 4)
    assert benchmark.name == find_benchmark(folder, 4).name == "Set0"
    assert benchmark.samples == find_benchmark(folder, 4).samples
    assert {sample.border for sample in benchmark.samples} == {"replicate"}


@pytest.mark.parametrize(("there", "taken"), [((2, 3, 4), 4), ((3, 2), 2)])
def test_self_ex_sr_at_a_factor_that_is_not_there(there, taken, tmp_path):
    folder = self_ex_sr(tmp_path, *there)
    expected = [(f"img_00{i}", f"image_SRF_{taken}/img_00{i}_SRF_{taken}_HR.png", None) for i in (1, 2)]
    assert found(folder, 8) == expected


def test_self_ex_sr_given_at_another_factor(tmp_path):
    folder = self_ex_sr(tmp_path, 2, 4)
    assert [sample.lr for sample in find_benchmark(folder / "image_SRF_4", 2).samples] == [None, None]


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        ("HR/{}.png", "LR/{}.png"),
        ("hr/{}.png", "lr/x4/{}.png"),
        ("GT/{}.bmp", "LR/X4/{}x4.png"),
        ("GTmod12/{}.png", "LRbicx4/{}.png"),
        ("DIV2K_valid_HR/{}.png", "DIV2K_valid_LR_bicubic/X4/{}x4.png"),
    ],
)
def test_pairs(hr, lr, tmp_path):
    folder = make(tmp_path, *(pattern.format(name) for pattern in (hr, lr) for name in ("0801", "ax4")))
    assert found(folder, 4) == [(name, hr.format(name), lr.format(name)) for name in ("0801", "ax4")]


def test_pairs_of_several_factors(tmp_path):
    make(tmp_path, "GT/a.png", "LRbicx2/a.png", "LRbicx4/a.png", "LR_unknownx4/a.png")
    assert found(tmp_path, 2) == [("a", "GT/a.png", "LRbicx2/a.png")]
    assert found(tmp_path, 4) == [("a", "GT/a.png", "LRbicx4/a.png")]
    assert found(tmp_path, 8) == [("a", "GT/a.png", None)]


def test_squares_are_paired_by_their_sizes(tmp_path):
    make(tmp_path, *(f"{part}/{name}.png" for part in ("hr_128", "lr_16", "sr_16_128") for name in ("00001", "00000")))
    expected = [(name, f"hr_128/{name}.png", f"lr_16/{name}.png") for name in ("00000", "00001")]
    assert found(tmp_path, 8) == expected
    make(tmp_path, "lr_32/b.png", "hr_64/b.png")
    assert found(tmp_path, 8) == expected
    assert found(tmp_path, 2) == [("b", "hr_64/b.png", "lr_32/b.png")]


def test_squares_without_lr(tmp_path):
    make(tmp_path, "hr_128/a.png", "sr_16_128/a.png")
    assert found(tmp_path, 4) == [("a", "hr_128/a.png", None)]


def test_just_pictures(tmp_path):
    make(tmp_path, "b.jpg", "a.png", "notes.txt")
    assert found(tmp_path, 3) == [("a", "a.png", None), ("b", "b.jpg", None)]
    assert find_benchmark(tmp_path, 3).name == tmp_path.name


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["notes.txt"], "holds no image"),
        (["a.png", "a.jpg"], "two images 'a': a.jpg, a.png"),
        (["HR/a.png", "LR/a.png", "LR/b.png"], "LR/b.png' has no HR file"),
        (["HR/a.png", "HR/a.bmp", "LR/a.png"], "HR' has two images 'a': a.bmp, a.png"),
        (["HR/a.png", "LR/a.png", "LR/ax4.png"], "LR' has two images 'a': a.png, ax4.png"),
        (["HR/a.png", "HR/b.png", "LR/a.png"], "HR/b.png' has no LR file"),
        (["image_SRF_4/img_001_SRF_4_LR.png"], r"holds no \*_SRF_4_HR.png"),
        (["image_SRF_4/i_SRF_4_HR.png", "image_SRF_4/j_SRF_4_LR.png"], "i_SRF_4_HR.png' has no LR file"),
        (["DIV2K_train_HR/a.png", "DIV2K_valid_HR/b.png"], "several folders of HR images: DIV2K_train_HR, DIV2K_v"),
        (
            ["hr_128/a.png", "lr_16/a.png", "lr_64/a.png"],
            r"data='.*' holds hr_128, lr_16, lr_64, .* give factor=2 or 8$",
        ),
        (["hr_128/a.png", "lr_24/a.png"], "holds hr_128, lr_24, of which none belong together at factor=4$"),
        (["hr_64/a.png", "lr_16/a.png", "hr_256/a.png", "lr_64/a.png"], "of which several belong together at factor=4"),
        (["hr_64/a.png", "hr_256/a.png"], "holds hr_64, hr_256, of which several belong together"),
        (["hr_64/a.png", "lr_16/b.png"], r"hr_64/a\.png' has no LR file"),
        (["HR/a.png", "LR_mild/a.png", "LR_wild/a.png"], "several folders of LR x4 images"),
    ],
)
def test_folders_that_cannot_be_used(files, message, tmp_path):
    with pytest.raises(InputError, match=message):
        find_benchmark(make(tmp_path, *files), 4)


def test_the_folder_is_a_folder(tmp_path):
    with pytest.raises(MissingFileError, match=r"data='.*nowhere' does not exist"):
        find_benchmark(tmp_path / "nowhere", 4)
    with pytest.raises(InputError, match=r"data='.*a\.png' is a file; give the folder"):
        find_benchmark(make(tmp_path, "a.png") / "a.png", 4)


@pytest.fixture
def samples(tmp_path):
    return [Sample(f"img_{i:03d}", tmp_path, None) for i in range(30)]


@pytest.mark.parametrize(
    ("images", "numbers"),
    [
        (None, list(range(30))),
        (["img_003"], [3]),
        ("img_003", [3]),
        (["img_00[12]"], [1, 2]),
        (["img_020, img_003", "img_01*"], [3, *range(10, 20), 20]),
    ],
)
def test_images_are_chosen_by_name(images, numbers, samples):
    assert [int(sample.name[4:]) for sample in select(samples, images)] == numbers


def test_a_name_may_look_like_a_pattern(tmp_path):
    samples = [Sample(name, tmp_path, None) for name in ("[x]", "a,b", "a", "x")]
    assert [sample.name for sample in select(samples, ["[x]"])] == ["[x]"]
    assert [sample.name for sample in select(samples, ["a,b"])] == ["a,b"]
    assert [sample.name for sample in select(samples, ["a,[x]"])] == ["[x]", "a"]


def test_names_that_are_not_there(samples):
    with pytest.raises(InputError, match=re.escape("images='img_1*' names no image; there are img_000, img_001")):
        select(samples, ["img_002,img_1*"])
    with pytest.raises(InputError, match=r"img_019 and 10 more$"):
        select(samples, ["x"])
