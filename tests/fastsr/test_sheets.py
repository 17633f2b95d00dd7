import numpy as np
from PIL import Image

from fastsr.sheets import MARGIN, TOP, in_columns, sheet_size, side_by_side


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
