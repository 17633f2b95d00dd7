import numpy as np
from PIL import Image

from fastsr.sheets import LONGEST_TITLE, MARGIN, TOP, drawable, fitted, in_columns, sheet_size, side_by_side


def picture(value: int, width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), (value, 0, 0))


def test_pictures_of_a_column_are_below_one_another():
    sheet = in_columns([("a", [picture(10, 200, 30), picture(20, 150, 40)]), ("b", [picture(30, 100, 20)])])
    assert sheet.size == sheet_size([("a", (200, 30 + MARGIN + 40)), ("b", (100, 20))])
    left, second = MARGIN, MARGIN + 200 + MARGIN
    for x, y, value in ((left, TOP, 10), (left, TOP + 30 + MARGIN, 20), (second, TOP, 30)):
        assert sheet.getpixel((x, y)) == (value, 0, 0)
        assert sheet.getpixel((x - 1, y)) == sheet.getpixel((x, y - 1)) == (255, 255, 255)


def test_side_by_side_is_columns_of_one_picture():
    pictures = [("one", picture(10, 50, 30)), ("another", picture(20, 60, 40))]
    columns = [(title, [img]) for title, img in pictures]
    assert np.array_equal(side_by_side(pictures), in_columns(columns))


def test_titles_are_in_letters_that_the_font_has():
    assert drawable("caf\u00e9 x4, \u5199\u771f\n") == "cafe x4, ???"


def test_a_long_title_is_cut_in_its_middle():
    title = "a" * 3000 + " 27.31 dB"
    narrow, wide = (side_by_side([(title, picture(9, width, 8))]).width - 2 * MARGIN for width in (10, 500))
    assert LONGEST_TITLE - 20 < narrow <= LONGEST_TITLE
    assert wide == 500
    short = fitted(title, 10)
    assert short.startswith("aaa")
    assert short.endswith(" 27.31 dB")
    assert fitted("27.31 dB", 10) == "27.31 dB"
