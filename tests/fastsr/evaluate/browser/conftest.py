"""A report, open in a browser."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fastsr.evaluate.report import write_report
from tests.fastsr.evaluate.browser.stage import BARE, EVIL, OTHER_SIZE, SECOND, TIMEOUT_MS, TITLES, coded, wait_for

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
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
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
