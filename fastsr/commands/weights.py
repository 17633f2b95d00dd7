"""``fastsr weights``."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from ..errors import InputError
from .common import Command

if TYPE_CHECKING:
    from ..pretrained import Card
    from ..pretrained.published import NamedWeights

WIDTH = 100
MEGABYTE = 10**6
BUNDLED = "{:<14} {:<6} {:>6} {:>4}  {}".format
PUBLISHED = "{:<20} {:<13} {:<7} {}".format
OF_THE_WEB = "srgan"
"""The method of the published weights."""
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)(?:\.\./)*([^)#]*)[^)]*\)")
MARK = re.compile(r"^<!--.*-->\n+", re.MULTILINE)


@click.command(cls=Command)
@click.argument("name", required=False, metavar="[NAME|METHOD]")
def weights(name: str | None) -> None:
    """List weights by name, or show a model card.

    Without an argument all weights are listed, with METHOD those of a method; with NAME the model card is shown. The
    bundled weights need no connection. Weights that others published are downloaded on first use.

    \b
      fastsr weights
      fastsr weights srgan
      fastsr weights srgan-x4
      fastsr srgan photo.png --weights realesrgan-x4plus
    """
    from .. import pretrained
    from ..checks import did_you_mean
    from ..pretrained.published import NAMED

    bundled = pretrained.names()
    if name == "dip":
        raise InputError("fastsr dip needs no weights: its network is fitted to each image from scratch")
    if name is None or name in pretrained.METHODS:
        lines = _bundled_table([pretrained.card_of(each) for each in pretrained.names(name)])
        if name in (None, OF_THE_WEB):
            lines += ["", *_web_table(NAMED)]
        click.echo("\n".join(lines))
    elif name in bundled:
        click.echo(without_links(pretrained.card_of(name).text))
    elif name in NAMED:
        click.echo("\n".join(_published(name, NAMED[name])))
    else:
        known = [*pretrained.METHODS, *bundled, *NAMED]
        raise InputError(f"NAME {name!r} is unknown{did_you_mean(name, known)}; choose one of {', '.join(known)}")


def without_links(text: str) -> str:
    """Return Markdown for a terminal: links to other files become their text, with the file if it differs.

    HTML comments, which mark generated tables, are removed.
    """

    def plain(link: re.Match[str]) -> str:
        shown, path = link[1], link[2]
        return shown if path in (shown, f"{shown}.md") else f"{shown} ({path})"

    return MARK.sub("", LINK.sub(plain, text))


def _bundled_table(cards: list[Card]) -> list[str]:
    """Return rows for each model card: its summary, its scores and the licence of the data."""
    from ..pretrained import DEFAULTS, SRGAN_UP_TO_2, path_of

    lines = [BUNDLED("bundled", "method", "factor", "MB", "summary; scores; licence of the data")]
    room = WIDTH - len(BUNDLED("", "", "", "", ""))
    for card in cards:
        default = " *" if card.name in (*DEFAULTS.values(), SRGAN_UP_TO_2) else ""
        factor = "any" if card.factor is None else f"x{card.factor:g}"
        size = f"{path_of(card.name).stat().st_size / MEGABYTE:.1f}"
        facts = (f"{card.name}{default}", card.method, factor, size)
        for entry in (card.summary, _scores(card), f"data: {card.licence}"):
            for text in textwrap.wrap(entry, room):
                lines.append(BUNDLED(*facts, text))
                facts = ("", "", "", "")
    shown = {card.name for card in cards}
    note = f"* default{f'; {SRGAN_UP_TO_2} for factors up to 2' if SRGAN_UP_TO_2 in shown else ''}"
    return [*lines, note]


def _scores(card: Card) -> str:
    return "; ".join(
        f"{test}: {', '.join(_score(measure, value) for measure, value in measures.items())}"
        for test, measures in card.scores.items()
    )


def _score(measure: str, value: float) -> str:
    name, _, unit = measure.partition(", ")
    return f"{name} {value:g} {unit}".rstrip()


def _web_table(named: Mapping[str, NamedWeights]) -> list[str]:
    """Return a row for each of the published weights."""
    from ..io.downloads import cache_folder, file_name

    lines = [PUBLISHED(f"published, {OF_THE_WEB}", "licence", "cached", "network")]
    for name, entry in named.items():
        cached = (cache_folder() / file_name(entry.address)).is_file()
        lines.append(PUBLISHED(name, entry.licence, "yes" if cached else "no", entry.what))
    return lines


def _published(name: str, entry: NamedWeights) -> list[str]:
    """Return the description of published weights."""
    return [f"# {name}", "", f"{entry.what}.", "", entry.address, f"sha256 {entry.sha256}", f"Licence: {entry.licence}"]
