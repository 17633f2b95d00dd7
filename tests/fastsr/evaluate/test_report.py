"""The report as a file; what a browser makes of it is in the folder browser."""

import base64
import hashlib
import io
import re
import tracemalloc
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastsr.errors import InputError, MissingFileError, OutputError
from fastsr.evaluate.report import write_report

HEADER = ["picture", "PSNR", "SSIM"]
MEAN = ["mean", "30.00", "0.9000"]
BLOCK = re.compile(
    r'<script type="text/plain" data-picture="(\d+)" data-title="([^"]*)">data:image/(\w+);base64,([^<]*)</script>'
)
RANDOM = np.random.default_rng(0)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return RANDOM.integers(0, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)


def saved(path: Path, values: np.ndarray, **options: object) -> Path:
    Image.fromarray(values).save(path, **options)
    return path


def written(folder: Path, pictures: dict[str, dict[str, Path]], **changes: object) -> str:
    options = {
        "title": "Set5",
        "facts": {"method": "dip"},
        "header": HEADER,
        "rows": [[name, "30.00", "0.9000"] for name in pictures],
        "mean": MEAN,
    }
    path = folder / "report.html"
    write_report(path, pictures=pictures, **{**options, **changes})
    return path.read_text(encoding="utf-8")


def embedded(page: str) -> dict[tuple[str, str], tuple[str, bytes]]:
    """Return kind and bytes of each picture by its number and title."""
    return {
        (number, unescape(title)): (kind, base64.b64decode(data, validate=True))
        for number, title, kind, data in BLOCK.findall(page)
    }


def opened(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def test_pictures_are_embedded_without_loss_in_the_order_given(tmp_path):
    values = {("a.png", "dip"): noise(9, 7, 3), ("a.png", "HR"): noise(9, 7, 3), ("b.png", "dip"): noise(5, 6, 3)}
    pictures: dict[str, dict[str, Path]] = {}
    for (name, title), array in values.items():
        pictures.setdefault(name, {})[title] = saved(tmp_path / f"{title}-{name}", array)
    found = embedded(written(tmp_path, pictures))
    assert list(found) == [("0", "dip"), ("0", "HR"), ("1", "dip")]
    for (kind, data), expected in zip(found.values(), values.values(), strict=True):
        assert kind == "webp"
        assert np.array_equal(opened(data), expected)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (noise(6, 5), "webp"),
        (noise(6, 5, 4), "png"),
        (noise(6, 5, dtype=np.uint16), "png"),
        (np.zeros((1, 16384, 3), np.uint8), "png"),
    ],
    ids=["grey", "transparent", "16 bits", "larger than WebP"],
)
def test_every_kind_of_picture_keeps_its_values(values, kind, tmp_path):
    found = embedded(written(tmp_path, {"a": {"HR": saved(tmp_path / "a.png", values)}}))
    assert found["0", "HR"][0] == kind
    pixels = opened(found["0", "HR"][1])
    assert np.array_equal(pixels if values.ndim == pixels.ndim else pixels[..., 0], values)


def test_what_browsers_cannot_show_becomes_what_they_can(tmp_path):
    values = np.array([[0, 0.25, 1]], np.float32)
    found = embedded(written(tmp_path, {"a": {"HR": saved(tmp_path / "a.tif", values)}}))
    assert found["0", "HR"][0] == "webp"
    assert opened(found["0", "HR"][1])[0, :, 0].tolist() == [0, 64, 255]


def test_a_jpeg_stays_the_file_it_is(tmp_path):
    path = saved(tmp_path / "a.png", noise(8, 8, 3), format="JPEG")
    assert embedded(written(tmp_path, {"a": {"HR": path}}))["0", "HR"] == ("jpeg", path.read_bytes())


def test_a_colour_profile_is_kept(tmp_path):
    colour, grey = (
        saved(tmp_path / f"{name}.png", noise(*shape), icc_profile=b"profile")
        for name, shape in (("colour", (8, 8, 3)), ("grey", (8, 8)))
    )
    found = embedded(written(tmp_path, {"a": {"colour": colour, "grey": grey}}))
    assert [kind for kind, _ in found.values()] == ["webp", "png"]
    for _, data in found.values():
        with Image.open(io.BytesIO(data)) as image:
            assert image.info["icc_profile"] == b"profile"


def test_every_text_is_escaped(tmp_path):
    evil = "</script><b>&\"'{{title}}--><!--"
    picture = saved(tmp_path / "a.png", noise(4, 4, 3))
    page = written(
        tmp_path,
        {evil: {evil: picture}},
        title=evil,
        facts={evil: evil},
        header=[evil, evil],
        rows=[[evil, evil]],
        mean=[evil, evil],
    )
    safe = "&lt;/script&gt;&lt;b&gt;&amp;&quot;&#x27;{{title}}--&gt;&lt;!--"
    assert evil not in page
    assert page.count(safe) == 11
    assert list(embedded(page)) == [("0", evil)]


def test_a_name_that_is_not_unicode_is_shown_escaped(tmp_path):
    name = "caf\udce9.png"
    page = written(tmp_path, {name: {"HR": saved(tmp_path / "a.png", noise(4, 4, 3))}})
    assert '<button type="button">caf\\udce9.png</button>' in page


def test_only_rows_with_pictures_open_the_viewer(tmp_path):
    pictures = {"a": {"HR": saved(tmp_path / "a.png", noise(4, 4, 3))}, "b": {}}
    rows = [["a", "1", "2"], ["b", "3", "4"], ["c", "5", "6"]]
    page = written(tmp_path, pictures, rows=rows)
    assert '<tr data-picture="0"><th scope="row"><button type="button">a</button></th>' in page
    assert '<tr><th scope="row">b</th><td>3</td><td>4</td></tr>' in page
    assert '<tr><th scope="row">c</th><td>5</td><td>6</td></tr>' in page
    assert '<tfoot><tr><th scope="row">mean</th>' in page


def test_the_policy_allows_the_script_and_the_style_of_the_page_alone(tmp_path):
    page = written(tmp_path, {})
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert policy is not None

    def source(tag: str) -> str:
        (part,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        return f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"

    assert policy[1] == (
        f"default-src 'none'; img-src data:; style-src {source('style')}; script-src {source('script')}; "
        "base-uri 'none'; form-action 'none'"
    )


def test_nothing_in_the_page_names_another_file(tmp_path):
    assert not re.search(r"https?:|//\w|url\(|@import|\bsrc=|srcset", written(tmp_path, {}))


def test_memory_holds_one_picture(tmp_path):
    side = 256
    picture = saved(tmp_path / "a.png", noise(side, side, 3))
    names = [str(number) for number in range(20)]
    tracemalloc.start()
    try:
        written(tmp_path, {names[0]: {"HR": picture}})
        _, one = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        write_report(
            tmp_path / "all.html",
            title="",
            facts={},
            header=["picture"],
            rows=[[name] for name in names],
            mean=["mean"],
            pictures={name: {"HR": picture} for name in names},
        )
        _, all_of_them = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "all.html").stat().st_size > len(names) * side * side * 3
    assert all_of_them < one + 2 * side * side * 3


def test_bad_input_is_refused_and_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("before")
    small, large = (saved(tmp_path / f"{side}.png", noise(side, 4, 3)) for side in (4, 5))
    sizes = r"pictures\['a'\]\['HR'\] is 4x5 pixels and 'dip' is 4x4; pictures to compare have one size"
    with pytest.raises(InputError, match=sizes):
        written(tmp_path, {"a": {"dip": small, "HR": large}})
    with pytest.raises(MissingFileError, match=r"pictures\['a'\]\['HR'\]='.*missing.png' does not exist"):
        written(tmp_path, {"a": {"HR": tmp_path / "missing.png"}})
    with pytest.raises(InputError, match=r"rows\[1\] has 2 cells; header has 3"):
        written(tmp_path, {}, rows=[["a", "1", "2"], ["b", "1"]])
    with pytest.raises(InputError, match="mean has 1 cells; header has 3"):
        written(tmp_path, {}, mean=["mean"])
    with pytest.raises(InputError, match=r"pictures\['a'\] belongs to no row"):
        written(tmp_path, {"a": {"HR": small}}, rows=[])
    assert path.read_text() == "before"
    assert sorted(tmp_path.iterdir()) == sorted([path, small, large])
    with pytest.raises(OutputError, match="cannot be written"):
        written(tmp_path / "missing", {})
