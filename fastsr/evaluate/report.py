"""An evaluation as one HTML file: its table of figures, and a viewer that compares the pictures pixel by pixel.

The file needs nothing beside it and requests nothing: the pictures are in it, and its Content-Security-Policy allows
no more than the style and the script of the page.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from ..codecs import FORMATS, Raster, decode_file, encode
from ..errors import InputError, MissingFileError
from ..files import atomic_write

TEMPLATE = Path(__file__).with_name("report.html")
SLOT = re.compile(r"\{\{(\w+)\}\}")


def write_report(
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    mean: Sequence[str],
    pictures: Mapping[str, Mapping[str, Path]],
) -> None:
    """Write an HTML file that shows figures as a table and compares the pictures that they were measured on.

    Every text is shown as it is. Pictures are read one after the other and embedded without loss.

    Args:
        path: the file to write, whole or not at all.
        title: the heading.
        facts: what else there is to say about the figures: names and values, in the order to show.
        header: the titles of the columns.
        rows: the cells of each row, as many as `header` has; the first is the name of the picture.
        mean: the last row, which stays last however the others are sorted.
        pictures: for the name of a row, image files of one size by title, in the order to show. The viewer starts
            with the first two. A row whose name is missing here has no viewer.

    Raises:
        InputError: a row has more or fewer cells than `header`, `pictures` names no row, the files of a name
            differ in size, or a file cannot be read.
        MissingFileError: a picture does not exist.
        OutputError: the file cannot be written.
    """
    _check(header, rows, mean, pictures)
    template = TEMPLATE.read_text(encoding="utf-8")
    numbers = {name: number for number, name in enumerate(pictures) if pictures[name]}
    texts = {
        "policy": _policy(template),
        "title": escape(title),
        "facts": "\n".join(_fact(name, fact) for name, fact in facts.items()),
        "header": "".join(f'<th scope="col"><button type="button">{escape(cell)}</button></th>' for cell in header),
        "rows": "\n".join(_row(row, numbers.get(row[0])) for row in rows),
        "mean": _row(mean, None),
    }
    before, after = (SLOT.sub(lambda slot: texts[slot[1]], part) for part in template.split("{{pictures}}"))
    with atomic_write(path) as file:
        file.write(_encoded(before))
        for name, number in numbers.items():
            for block in _blocks(name, number, pictures[name]):
                file.write(block)
        file.write(_encoded(after))


def _check(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    mean: Sequence[str],
    pictures: Mapping[str, Mapping[str, Path]],
) -> None:
    named = {f"rows[{index}]": row for index, row in enumerate(rows)} | {"mean": mean}
    for name, row in named.items():
        if len(row) != len(header):
            raise InputError(f"{name} has {len(row)} cells; header has {len(header)}")
    for name in pictures.keys() - {row[0] for row in rows}:
        raise InputError(f"pictures[{name!r}] belongs to no row; the first cell of a row names its pictures")
    for name, files in pictures.items():
        for title, path in files.items():
            if not path.exists():
                raise MissingFileError(f"pictures[{name!r}][{title!r}]={str(path)!r} does not exist")


def _policy(template: str) -> str:
    """Return the Content-Security-Policy under which the style and the script of the page are all that works."""

    def source(tag: str) -> str:
        parts = re.findall(f"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in parts)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; img-src data:; style-src {source('style')}; script-src {source('script')}; "
        "base-uri 'none'; form-action 'none'"
    )


def _fact(name: str, fact: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(fact)}</dd></div>"


def _row(cells: Sequence[str], number: int | None) -> str:
    """Return a table row; `number` is that of its pictures, None for a row without a viewer."""
    name = escape(cells[0])
    opens = "" if number is None else f' data-picture="{number}"'
    head = name if number is None else f'<button type="button">{name}</button>'
    figures = "".join(f"<td>{escape(cell)}</td>" for cell in cells[1:])
    return f'<tr{opens}><th scope="row">{head}</th>{figures}</tr>'


def _blocks(name: str, number: int, files: Mapping[str, Path]) -> Iterator[bytes]:
    """Yield the pictures of one row as script elements that hold a data URI: text to the browser until it is shown."""
    first: tuple[str, tuple[int, int]] | None = None
    for title, path in files.items():
        what = f"pictures[{name!r}][{title!r}]"
        raster = decode_file(path, what)
        size = (raster.values.shape[1], raster.values.shape[0])
        if first is not None and size != first[1]:
            raise InputError(
                f"{what} is {size[0]}x{size[1]} pixels and {first[0]!r} is {first[1][0]}x{first[1][1]}; "
                "pictures to compare have one size"
            )
        first = first or (title, size)
        kind, data = _embedded(path, raster)
        yield _encoded(f'<script type="text/plain" data-picture="{number}" data-title="{escape(title)}">')
        yield f"data:image/{kind};base64,".encode() + base64.b64encode(data)
        yield b"</script>\n"


def _embedded(path: Path, raster: Raster) -> tuple[str, bytes]:
    """Return the MIME subtype and the bytes of a picture as browsers show it, without loss.

    WebP is the smallest, but has no 16 bits, no grey profile, and does not keep the colour of what is transparent.
    """
    with Image.open(path) as image:
        if image.format == "JPEG":
            return "jpeg", path.read_bytes()
    values = raster.values
    if values.dtype == np.float32:
        values = np.round(values.clip(0, 1) * 255).astype(np.uint8)
    webp = FORMATS[".webp"]
    fits = webp.largest_side is None or max(values.shape[:2]) <= webp.largest_side
    colours = values.shape[2] == 3 or (values.shape[2] == 1 and raster.icc is None)
    kind = webp if values.dtype == np.uint8 and colours and fits else FORMATS[".png"]
    file = io.BytesIO()
    encode(file, values, kind, raster.icc, None)
    return kind.name.lower(), file.getvalue()


def _encoded(text: str) -> bytes:
    """Encode what may hold file names, which need not be valid Unicode."""
    return text.encode("utf-8", "backslashreplace")
