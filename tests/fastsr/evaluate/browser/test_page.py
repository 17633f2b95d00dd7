"""The page of a report: its texts, its table, and what it may not do."""

import pytest

from tests.fastsr.evaluate.browser.stage import BARE, EVIL, OTHER_SIZE, SECOND, TIMEOUT_MS, TITLES, names, wait_for


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
