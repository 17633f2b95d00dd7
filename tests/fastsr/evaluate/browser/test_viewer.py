"""The viewer of a report, worked with mouse, touch and keyboard."""

from collections.abc import Callable

import numpy as np

from tests.fastsr.evaluate.browser.stage import (
    EVIL,
    OTHER_SIZE,
    SECOND,
    TITLES,
    Point,
    check_pixels,
    divider,
    drag,
    on_screen,
    seen,
    size,
    square,
    stage,
    wait_for,
    wheel,
    zoom,
)


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
