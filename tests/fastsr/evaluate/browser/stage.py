"""The pictures of a report as a browser shows them, and the hand that moves them."""

import io
from typing import Any

import numpy as np
from PIL import Image

TIMEOUT_MS = 30_000
WIDTH, HEIGHT = 64, 48
EVIL = "<b>&\"'.png"
SECOND = "img-10.png"
OTHER_SIZE = "img-9.png"
BARE = "none.png"
TITLES = ["bicubic", "dip", '"></script><img src=x onerror=alert(1)>']
OVERLAID = {"labels": 45, "handle": 24}  # pixels of the stage: from its top, and to either side of the divider

Point = tuple[float, float]


def coded(blue: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A picture whose pixel (x, y) has the colour (3 x, 5 y, blue): what is seen tells which pixel it is of which."""
    y, x = np.mgrid[:height, :width]
    return np.stack([3 * x, 5 * y, np.full_like(x, blue)], 2).astype(np.uint8)


def wait_for(page: Any, name: str, left: str, right: str) -> None:
    """Wait until these pictures are decoded and drawn."""
    label = f"{name}: {left} on the left, {right} on the right"
    page.wait_for_function("label => document.getElementById('canvas').ariaLabel === label", arg=label)


def stage(page: Any) -> np.ndarray:
    """What is seen of the pictures, and of what is laid over them: (H, W, RGB)."""
    with Image.open(io.BytesIO(page.locator("#stage").screenshot())) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def seen(page: Any, point: Point) -> tuple[int, int, int]:
    """Return (x, y, blue) of the picture's pixel that is seen at a point of the stage."""
    red, green, blue = (int(value) for value in stage(page)[round(point[1]), round(point[0])])
    return red // 3, green // 5, blue


def size(page: Any) -> tuple[int, int]:
    height, width, _ = stage(page).shape
    return width, height


def on_screen(page: Any, point: Point) -> Point:
    box = page.locator("#stage").bounding_box()
    return box["x"] + point[0], box["y"] + point[1]


def drag(page: Any, start: Point, end: Point) -> None:
    page.mouse.move(*on_screen(page, start))
    page.mouse.down()
    page.mouse.move(*on_screen(page, end), steps=4)
    page.mouse.up()


def wheel(page: Any, point: Point, pixels: float) -> None:
    before = zoom(page)
    page.mouse.move(*on_screen(page, point))
    page.mouse.wheel(0, pixels)
    page.wait_for_function("before => document.getElementById('zoom').textContent !== before", arg=f"{before} %")


def zoom(page: Any) -> int:
    """Return the zoom that is shown, in percent."""
    return int(page.locator("#zoom").inner_text().removesuffix(" %"))


def divider(page: Any) -> int:
    return int(page.get_by_role("slider").get_attribute("aria-valuenow"))


def names(page: Any) -> list[str]:
    return page.locator("tbody th").all_inner_texts()


def square(image: np.ndarray, column: int, row: int) -> tuple[int, int]:
    """Return the top left corner, on the stage, of the square that shows the pixel seen at a point."""
    colour = image[row, column]
    while np.array_equal(image[row, column - 1], colour):
        column -= 1
    while np.array_equal(image[row - 1, column], colour):
        row -= 1
    return column, row


def check_pixels(page: Any, left: int, right: int) -> None:
    """Check that the stage shows the pictures of these blues as whole squares, in the zoom shown, to the pixel."""
    image = stage(page)
    height, width, _ = image.shape
    middle = round(divider(page) / 100 * width)
    pixels = zoom(page) // 100
    assert pixels * 100 == zoom(page)
    row, column = round(0.6 * height), middle - OVERLAID["handle"] - 5
    column, row = square(image, column, row)
    x, y = image[row, column, 0] // 3, image[row, column, 1] // 5
    columns = (np.arange(width) - column) // pixels + x
    rows = (np.arange(height) - row) // pixels + y
    inside = ((columns >= 0) & (columns < WIDTH))[None] & ((rows >= 0) & (rows < HEIGHT))[:, None]
    inside[: OVERLAID["labels"]] = False
    inside[:, middle - OVERLAID["handle"] : middle + OVERLAID["handle"]] = False
    assert inside.sum() > 0.3 * inside.size
    expected = np.stack(np.broadcast_arrays(3 * columns[None], 5 * rows[:, None], 0), 2)
    expected[:, :middle, 2], expected[:, middle:, 2] = left, right
    assert np.array_equal(image[inside], expected[inside])
