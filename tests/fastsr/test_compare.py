from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import fastsr
from fastsr import metrics
from fastsr.cli import main
from fastsr.errors import FastsrError, InputError, InputTypeError, NotEnoughMemoryError
from fastsr.sheets import MARGIN, TOP, in_rows, side_by_side


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8))


def enlarged(image: Image.Image, times: int) -> Image.Image:
    return Image.fromarray(np.asarray(image).repeat(times, 0).repeat(times, 1))


def same(one: Image.Image, other: Image.Image) -> bool:
    return np.array_equal(one, other)


def test_small_pictures_are_shown_pixel_by_pixel_at_the_size_of_the_largest():
    small, large = noise(70, 75), noise(280, 300, 1)
    assert same(fastsr.compare(small, large), side_by_side([("a", enlarged(small, 4)), ("b", large)]))


def test_a_crop_is_in_pixels_of_the_largest_and_is_enlarged():
    small, large = noise(16, 12), noise(64, 48, 1)
    sheet = fastsr.compare(small, large, titles=["in", "out"], crop=(8, 4, 24, 20), zoom=3)
    parts = enlarged(enlarged(small.crop((2, 1, 6, 5)), 4), 3), enlarged(large.crop((8, 4, 24, 20)), 3)
    assert same(sheet, side_by_side(list(zip(("in", "out"), parts, strict=True))))
    assert fastsr.compare(large, crop=np.array((0, 0, 60, 30))).size == (4 * 60 + 2 * MARGIN, 4 * 30 + TOP + MARGIN)


def test_of_large_pictures_the_part_with_most_detail_is_shown():
    large = Image.new("RGB", (700, 400), (90, 90, 90))
    large.paste((200, 0, 0), (500, 250, 600, 350))
    shown = np.asarray(fastsr.compare(large))[TOP:-MARGIN, MARGIN:-MARGIN]
    assert shown.shape == (256, 256, 3)
    assert (shown == (200, 0, 0)).all(2).sum() == 100 * 100
    assert fastsr.compare(Image.new("L", (2000, 10))).size == (250 + 2 * MARGIN, 10 + TOP + MARGIN)


def test_titles_have_psnr_against_the_original():
    original, close, small = noise(40, 40), noise(40, 40, 1), noise(10, 10)
    psnr = metrics.psnr(close, original)
    columns = [("a", enlarged(small, 4)), (f"b {psnr:.2f} dB", close), ("original", original)]
    expected = side_by_side([(title, enlarged(image, 6)) for title, image in columns])
    assert same(fastsr.compare(small, close, original=original), expected)


def test_lists_and_batches_are_numbered_and_many_pictures_take_rows_of_one_length():
    images = [noise(256, 20, seed) for seed in range(8)]
    batch = torch.stack([torch.from_numpy(np.array(image)).movedim(2, 0) for image in images[:2]])
    sheet = fastsr.compare(batch, tuple(images[2:7]), np.asarray(images[7]), titles=["x", "y", "z"])
    titles = ["x 1", "x 2", "y 1", "y 2", "y 3", "y 4", "y 5", "z"]
    columns = list(zip(titles, images, strict=True))
    assert same(sheet, in_rows([side_by_side(columns[:4]), side_by_side(columns[4:])]))


def test_files_give_their_names_and_their_paths_where_those_are_alike(tmp_path: Path):
    paths = [tmp_path / "one" / "a.png", tmp_path / "two" / "a.png", tmp_path / "b.png"]
    image = noise(256, 9)
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        image.save(path)
    with Image.open(bytes(paths[2])) as opened:
        sheet = fastsr.compare(paths[0], str(paths[1]), opened, image)
    titles = [str(paths[0]), str(paths[1]), "b", "d"]
    assert same(sheet, side_by_side([(title, image) for title in titles]))


@pytest.mark.parametrize(
    ("pictures", "options", "kind", "message"),
    [
        ((), {}, InputError, "at least one"),
        ((noise(8, 8), noise(8, 6)), {}, InputError, r"pictures\[1\] has 8x6 pixels and pictures\[0\] 8x8"),
        ((noise(8, 8), [3]), {}, InputTypeError, r"pictures\[1\]\[0\] is a int"),
        (
            (noise(8, 8),),
            {"titles": ["a", "b"]},
            InputError,
            r"titles=\('a', 'b'\) is not one title for each of the 1 pictures",
        ),
        ((noise(8, 8),), {"titles": "a"}, InputTypeError, "titles='a'"),
        ((noise(8, 8),), {"titles": 5}, InputTypeError, "titles=5 are no titles"),
        ((noise(8, 8),), {"crop": (0, 0, 9, 8)}, InputError, r"crop=\(0, 0, 9, 8\) is not inside .* 8x8"),
        ((noise(8, 8),), {"crop": (4, 0, 4, 8)}, InputError, "is empty"),
        ((noise(8, 8),), {"crop": 4}, InputTypeError, r"crop=4 is no box; give \(left, top, right, bottom\)"),
        ((noise(8, 8),), {"crop": (0, 0, 1.5, 2)}, InputTypeError, "crop=1.5 is a float"),
        ((noise(8, 8),), {"zoom": 0}, InputError, "zoom=0"),
        ((noise(8, 8),), {"zoom": 10**6}, NotEnoughMemoryError, "the comparison needs about .* GiB"),
        ((noise(8, 8),), {"original": torch.zeros(2, 3, 8, 8)}, InputError, "original is a batch of 2"),
    ],
)
def test_what_cannot_be_compared_is_named(pictures, options, kind: type[FastsrError], message: str):
    with pytest.raises(kind, match=message):
        fastsr.compare(*pictures, **options)


def test_the_command_writes_what_the_function_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    noise(16, 8).save("a.png")
    noise(4, 2).save("b.png")
    options = ["--title", "x", "--title", "y", "--crop", "0", "2", "8", "6", "--zoom", "2", "--original", "a.png"]
    result = CliRunner().invoke(main, ["compare", "a.png", "b.png", "-o", "new/c.png", *options])
    assert (result.exit_code, result.output) == (0, "new/c.png\n")
    expected = fastsr.compare("a.png", "b.png", titles=["x", "y"], crop=(0, 2, 8, 6), zoom=2, original="a.png")
    with Image.open("new/c.png") as written:
        assert same(written, expected)
    refused = CliRunner().invoke(main, ["compare", "a.png", "--original", "b.png", "-o", "./b.png"])
    assert (refused.exit_code, refused.output) == (2, "Error: the comparison would overwrite the input './b.png'\n")
    failed = CliRunner().invoke(main, ["compare", "a.png", "none.png", "-o", "d.png"])
    assert (failed.exit_code, failed.output) == (2, "Error: IN 'none.png' does not exist\n")
    assert not Path("d.png").exists()
