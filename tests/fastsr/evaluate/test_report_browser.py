"""The report in a browser, worked with mouse, touch and keyboard."""

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fastsr.evaluate.report import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'fastsr[test]'")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
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


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose pictures are told apart by their blue: 1, 2, 3, then 4, 5, 6, then 7, 8 of another size."""
    folder = tmp_path_factory.mktemp("report")

    def saved(blue: int, *size: int) -> Path:
        path = folder / f"{blue}.png"
        Image.fromarray(coded(blue, *size)).save(path)
        return path

    write_report(
        folder / "report.html",
        title=f"About {EVIL}",
        facts={"method": EVIL},
        header=["picture", "PSNR", "seconds"],
        rows=[[EVIL, "29.50", "1.5"], [SECOND, "9.75", "inf"], [OTHER_SIZE, "100.00", "-"], [BARE, "31.25", "2.5"]],
        mean=["mean", "42.63", "2.0"],
        pictures={
            EVIL: {title: saved(blue) for title, blue in zip(TITLES, (1, 2, 3), strict=True)},
            SECOND: {title: saved(blue) for title, blue in zip(TITLES, (4, 5, 6), strict=True)},
            OTHER_SIZE: {"dip": saved(7, 32, 40), "HR": saved(8, 32, 40)},
        },
    )
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_report(browser: Any, report: Path) -> Callable[..., Any]:
    """Open the report in a window of its own; then check that it complained of nothing and requested only itself."""

    @contextmanager
    def open_it(**options: Any) -> Iterator[Any]:
        context = browser.new_context(**{"viewport": {"width": 800, "height": 610}, **options})
        context.set_default_timeout(TIMEOUT_MS)
        page = context.new_page()
        complaints: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(report.as_uri())
        yield page
        page.wait_for_timeout(0)  # lets what has happened be told
        context.close()
        assert complaints == []
        assert [url for url in requests if not url.startswith("data:")] == [report.as_uri()]

    return open_it


@pytest.fixture
def page(open_report: Callable[..., Any]) -> Iterator[Any]:
    with open_report() as page:
        yield page


@pytest.fixture
def viewer(page: Any) -> Any:
    """The page with the viewer open on the first picture."""
    page.get_by_role("cell", name="29.50").click()
    wait_for(page, EVIL, *TITLES[:2])
    return page


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


def test_texts_are_shown_as_they_are(page):
    assert page.title() == f"About {EVIL}"
    assert page.get_by_role("heading").inner_text() == f"About {EVIL}"
    assert page.locator("dd").inner_text() == EVIL
    assert names(page) == [EVIL, SECOND, OTHER_SIZE, BARE]
    page.get_by_role("cell", name="29.50").click()
    wait_for(page, EVIL, *TITLES[:2])
    assert page.locator("#left option").all_inner_texts() == TITLES
    assert page.locator("#viewer h2").inner_text() == f"{EVIL} (1 of 3)"
    assert page.locator("#viewer p").inner_text() == "PSNR 29.50 · seconds 1.5"


def test_pictures_are_decoded_when_they_are_shown(browser, report):
    context = browser.new_context()
    context.add_init_script(
        "window.made = 0; window.Image = class extends Image { constructor() { super(); window.made += 1; } };"
    )
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.evaluate("[window.made, document.images.length]") == [0, 0]
    page.get_by_role("cell", name="29.50").click()
    wait_for(page, EVIL, *TITLES[:2])
    assert page.evaluate("[window.made, document.images.length]") == [2, 0]
    context.close()


@pytest.mark.parametrize(
    ("attempt", "directive"),
    [
        ("fetch('http://127.0.0.1:9/').catch(() => {})", "connect-src"),
        ("new Image().src = 'http://127.0.0.1:9/a.png'", "img-src"),
        ("document.body.setAttribute('onclick', 'stop()'); document.body.click()", "script-src-attr"),
        ("document.body.append(Object.assign(document.createElement('script'), {text: 'stop()'}))", "script-src-elem"),
    ],
)
def test_the_policy_forbids_requests_and_foreign_scripts(attempt, directive, browser, report):
    context = browser.new_context()
    page = context.new_page()
    page.goto(report.as_uri())
    refused = page.evaluate(
        f"""new Promise((resolve) => {{
            addEventListener("securitypolicyviolation", (event) => resolve(
                `${{event.disposition}} ${{event.effectiveDirective}}`));
            setTimeout(() => resolve("nothing"), {TIMEOUT_MS});
            {attempt};
        }})"""
    )
    context.close()
    assert refused == f"enforce {directive}"


def test_a_click_on_a_column_sorts_by_it(page):
    def sort(column: str) -> list[str]:
        page.locator("thead").get_by_text(column, exact=True).click()
        return names(page)

    assert sort("PSNR") == [SECOND, EVIL, BARE, OTHER_SIZE]
    assert page.get_by_role("columnheader", name="PSNR").get_attribute("aria-sort") == "ascending"
    assert sort("PSNR") == [OTHER_SIZE, BARE, EVIL, SECOND]
    assert page.get_by_role("columnheader", name="PSNR").get_attribute("aria-sort") == "descending"
    assert sort("seconds") == [EVIL, BARE, SECOND, OTHER_SIZE]
    assert page.get_by_role("columnheader", name="PSNR").get_attribute("aria-sort") is None
    assert sort("seconds") == [SECOND, BARE, EVIL, OTHER_SIZE], "what is no figure stays last"
    assert sort("picture") == [EVIL, OTHER_SIZE, SECOND, BARE], "9 is before 10"
    assert page.locator("tr").last.inner_text().split() == ["mean", "42.63", "2.0"]


def test_a_row_opens_by_keyboard_and_closes_again(page):
    page.get_by_role("button", name=SECOND).focus()
    page.keyboard.press("Enter")
    wait_for(page, SECOND, *TITLES[:2])
    assert page.get_by_role("slider").evaluate("handle => handle === document.activeElement")
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()
    page.get_by_role("cell", name="9.75").click()
    page.get_by_role("button", name="Close").click()
    assert not page.locator("#viewer").is_visible()


def test_a_row_without_pictures_opens_nothing(page):
    page.get_by_role("cell", name="31.25").click()
    assert not page.locator("#viewer").is_visible()
    assert page.get_by_role("button", name=BARE).count() == 0


def test_the_first_picture_is_left_and_the_second_right(viewer):
    width, height = size(viewer)
    assert zoom(viewer) == 1000
    assert divider(viewer) == 50
    assert seen(viewer, (width / 2 - 40, height / 2))[2] == 1
    assert seen(viewer, (width / 2 + 40, height / 2))[2] == 2
    assert viewer.locator("#left-label").inner_text() == TITLES[0]
    assert viewer.locator("#right-label").inner_text() == TITLES[1]
    check_pixels(viewer, 1, 2)


def test_dragging_the_handle_moves_what_divides_the_pictures(viewer):
    width, height = size(viewer)
    point = width * 0.4, height * 0.3
    under = seen(viewer, point)
    assert under[2] == 1
    drag(viewer, (width / 2 + 5, height * 0.8), (width * 0.25 + 5, height * 0.7))
    assert divider(viewer) == 25
    assert seen(viewer, point) == (*under[:2], 2), "another picture, and nothing else has moved"
    assert seen(viewer, (width * 0.25 - 40, height / 2))[2] == 1
    check_pixels(viewer, 1, 2)
    viewer.mouse.move(*on_screen(viewer, (width * 0.25 + 15, height / 2)))
    assert divider(viewer) == 25, "the handle was let go"
    drag(viewer, (width * 0.25, height / 2), (-50, height / 2))
    assert divider(viewer) == 0
    assert seen(viewer, (width * 0.15, height / 2))[2] == 2


def test_the_keyboard_moves_the_divider(viewer):
    width, height = size(viewer)
    handle = viewer.get_by_role("slider")
    assert handle.evaluate("handle => handle === document.activeElement")
    for key, place in (
        ("ArrowLeft", 49),
        ("ArrowRight", 50),
        ("ArrowUp", 51),
        ("ArrowDown", 50),
        ("Shift+ArrowRight", 60),
        ("End", 100),
        ("Home", 0),
        ("ArrowLeft", 0),
    ):
        viewer.keyboard.press(key)
        assert divider(viewer) == place
    assert handle.get_attribute("aria-valuetext") == f"0 % {TITLES[0]}, 100 % {TITLES[1]}"
    assert seen(viewer, (width * 0.3, height / 2))[2] == 2


def test_the_wheel_zooms_around_the_pointer(viewer):
    width, height = size(viewer)
    point = width * 0.3, height * 0.6
    before = seen(viewer, point)
    wheel(viewer, point, -200)
    assert zoom(viewer) == 2000
    after = seen(viewer, point)
    assert np.abs(np.subtract(after, before)).max() <= 1
    check_pixels(viewer, 1, 2)
    corner = 5, height - 5
    x, y, _ = seen(viewer, corner)
    assert abs(after[0] - x - (point[0] - corner[0]) / 20) <= 1
    assert abs(y - after[1] - (corner[1] - point[1]) / 20) <= 1
    wheel(viewer, point, 200)
    assert zoom(viewer) == 1000
    wheel(viewer, point, -2000)
    assert zoom(viewer) == 3200
    wheel(viewer, point, 9000)
    assert zoom(viewer) == 100


def test_buttons_and_keys_zoom(viewer):
    width, height = size(viewer)
    centre = width / 2 - 40, height / 2
    x, y, _ = seen(viewer, centre)

    def button(name: str) -> Callable[[], None]:
        return lambda: viewer.get_by_role("button", name=name, exact=True).click()

    def key(name: str) -> Callable[[], None]:
        return lambda: viewer.keyboard.press(name)

    for act, percent in (
        (button("Zoom in"), 1200),
        (key("+"), 1600),
        (key("-"), 1200),
        (button("Zoom out"), 800),
        (button("1:1"), 100),
        (button("Zoom out"), 100),
        (button("Fit"), 1000),
        (key("1"), 100),
        (key("0"), 1000),
        (key("+"), 1200),
        (key("Control++"), 1200),
    ):
        act()
        assert zoom(viewer) == percent
    moved = np.subtract(seen(viewer, centre), (x, y, 1))
    assert moved[0] in (0, 1), "the middle stays where it is, and this point is 40 pixels from it"
    assert abs(moved[1]) <= 1
    check_pixels(viewer, 1, 2)


def test_a_double_click_looks_closer_and_back(viewer):
    width, height = size(viewer)
    point = width * 0.3, height * 0.6
    before = seen(viewer, point)
    viewer.mouse.dblclick(*on_screen(viewer, point))
    assert zoom(viewer) == 2000
    assert np.abs(np.subtract(seen(viewer, point), before)).max() <= 1
    viewer.mouse.dblclick(*on_screen(viewer, point))
    assert zoom(viewer) == 1000
    assert seen(viewer, point) == before


def test_dragging_the_picture_pans_it(viewer):
    width, height = size(viewer)
    start = width * 0.3, height * 0.6
    before = seen(viewer, start)
    drag(viewer, start, (width * 0.2, height * 0.4))
    assert seen(viewer, start) == before, "all of it is seen already"
    wheel(viewer, start, -200)
    column, row = square(stage(viewer), *map(round, start))
    start, end = (column + 10, row + 10), (column - 70, row - 90)
    before = seen(viewer, start)
    drag(viewer, start, end)
    assert seen(viewer, end) == before
    assert divider(viewer) == 50
    assert zoom(viewer) == 2000
    viewer.mouse.move(*on_screen(viewer, start))
    assert seen(viewer, end) == before, "the picture was let go"
    drag(viewer, (width * 0.1, height * 0.1), (width * 3, height * 3))
    assert seen(viewer, (2, height * 0.5))[0] == 0, "no further than its edge"
    check_pixels(viewer, 1, 2)


def test_the_next_picture_keeps_the_look(viewer):
    width, height = size(viewer)
    point = width * 0.3, height * 0.6
    wheel(viewer, point, -200)
    drag(viewer, point, (width * 0.2, height * 0.5))
    before = seen(viewer, point)
    viewer.get_by_role("button", name="Next picture").click()
    wait_for(viewer, SECOND, *TITLES[:2])
    assert viewer.locator("#viewer h2").inner_text() == f"{SECOND} (2 of 3)"
    assert seen(viewer, point) == (*before[:2], 4)
    assert zoom(viewer) == 2000
    check_pixels(viewer, 4, 5)
    viewer.get_by_role("button", name="Previous picture").click()
    wait_for(viewer, EVIL, *TITLES[:2])
    assert seen(viewer, point) == before


def test_a_picture_of_another_size_is_shown_whole(viewer):
    wheel(viewer, (100, 300), -200)
    viewer.keyboard.press("n")
    wait_for(viewer, SECOND, *TITLES[:2])
    viewer.keyboard.press("n")
    wait_for(viewer, OTHER_SIZE, "dip", "dip")
    width, height = size(viewer)
    assert zoom(viewer) == height // 40 * 100
    assert seen(viewer, (width / 2 - 40, height / 2))[2] == 7
    viewer.keyboard.press("n")
    viewer.keyboard.press("p")
    wait_for(viewer, SECOND, "dip", "dip")


def test_the_next_picture_is_that_of_the_sorted_table(page):
    page.locator("thead").get_by_text("PSNR", exact=True).click()
    page.get_by_role("cell", name="9.75").click()
    wait_for(page, SECOND, *TITLES[:2])
    assert page.get_by_role("button", name="Previous picture").is_disabled()
    page.keyboard.press("n")
    wait_for(page, EVIL, *TITLES[:2])
    page.keyboard.press("n")
    wait_for(page, OTHER_SIZE, "dip", "dip")
    assert page.get_by_role("button", name="Next picture").is_disabled()


def test_other_titles_are_compared_from_the_same_place(viewer):
    width, height = size(viewer)
    wheel(viewer, (width * 0.3, height * 0.6), -200)
    left, right = (width * 0.3, height * 0.5), (width * 0.7, height * 0.5)
    before = seen(viewer, left), seen(viewer, right)
    viewer.get_by_label("Left", exact=True).select_option(TITLES[2])
    wait_for(viewer, EVIL, TITLES[2], TITLES[1])
    viewer.get_by_label("Right", exact=True).select_option(TITLES[0])
    wait_for(viewer, EVIL, TITLES[2], TITLES[0])
    assert (seen(viewer, left), seen(viewer, right)) == ((*before[0][:2], 3), (*before[1][:2], 1))
    assert viewer.locator("#left-label").inner_text() == TITLES[2]
    viewer.get_by_role("button", name="Next picture").click()
    wait_for(viewer, SECOND, TITLES[2], TITLES[0])


def test_the_picture_follows_the_window(viewer):
    viewer.set_viewport_size({"width": 400, "height": 500})
    viewer.wait_for_function("() => document.getElementById('canvas').width === 400")
    assert zoom(viewer) == 600
    assert size(viewer)[0] == 400
    check_pixels(viewer, 1, 2)


def test_fingers_drag_the_handle_and_pinch_the_picture(open_report):
    with open_report(
        viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True, device_scale_factor=2
    ) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.get_by_role("cell", name="29.50").tap()
        wait_for(page, EVIL, *TITLES[:2])
        assert zoom(page) == 1200, "in pixels of the screen, of which there are two a CSS pixel"
        devtools = page.context.new_cdp_session(page)

        def touch(kind: str, *points: Point) -> None:
            at = [
                dict(zip("xy", on_screen(page, point), strict=True), id=finger) for finger, point in enumerate(points)
            ]
            devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

        touch("touchStart", (195, 300))
        touch("touchMove", (150, 300))
        touch("touchMove", (117, 300))
        touch("touchEnd")
        assert divider(page) == 30
        middle = 300, 280
        before = seen(page, (2 * middle[0], 2 * middle[1]))
        touch("touchStart", (280, 280), (320, 280))
        touch("touchMove", (270, 280), (330, 280))
        touch("touchMove", (260, 280), (340, 280))
        touch("touchEnd")
        assert zoom(page) == 2400
        assert np.abs(np.subtract(seen(page, (2 * middle[0], 2 * middle[1])), before)).max() <= 1
        assert divider(page) == 30


def test_light_and_dark_follow_the_system(open_report):
    background = "getComputedStyle(document.body).backgroundColor"
    with open_report(color_scheme="light") as page:
        assert page.evaluate(background) == "rgb(255, 255, 255)"
    with open_report(color_scheme="dark") as page:
        assert page.evaluate(background) == "rgb(22, 22, 24)"
        page.emulate_media(media="print")
        assert page.evaluate(background) == "rgb(255, 255, 255)"
        assert not page.locator("#hint").is_visible()
