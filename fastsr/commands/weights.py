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
    from ..srgan.named import NamedWeights

WIDTH = 100
MEGABYTE = 10**6
BUNDLED = "{:<14} {:<6} {:>6} {:>4}  {}".format
PUBLISHED = "{:<20} {:<13} {:<7} {}".format
OF_THE_WEB = "srgan"
"""The method that the published weights are for."""
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)(?:\.\./)*([^)#]*)[^)]*\)")
MARK = re.compile(r"^<!--.*-->\n+", re.MULTILINE)


@click.command(cls=Command)
@click.argument("name", required=False, metavar="[NAME|METHOD]")
def weights(name: str | None) -> None:
    """List weights by name, or show a model card.

    Without an argument all are listed, with METHOD its own, and with NAME there comes the model card of that. Some
    come with fastsr, and need no connection. Others are what their authors published: they are downloaded once,
    when they are first asked for.

    \b
      fastsr weights
      fastsr weights srgan
      fastsr weights srgan-x4
      fastsr srgan photo.png --weights realesrgan-x4plus
    """
    from .. import pretrained
    from ..checks import meant
    from ..srgan.named import NAMED

    bundled = pretrained.names()
    if name == "dip":
        raise InputError("fastsr dip needs no weights: its network is fitted to each picture by itself")
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
        raise InputError(f"NAME {name!r} is unknown{meant(name, known)}; choose one of {', '.join(known)}")


def without_links(text: str) -> str:
    """Return Markdown for a terminal: in place of links to other files their text, and the file where that is not it.

    The marks between which tables are written are left out.
    """

    def plain(link: re.Match[str]) -> str:
        shown, path = link[1], link[2]
        return shown if path in (shown, f"{shown}.md") else f"{shown} ({path})"

    return MARK.sub("", LINK.sub(plain, text))


def _bundled_table(cards: list[Card]) -> list[str]:
    """Return for each a row with what it is for, and below that its scores and the licence of the data."""
    from ..pretrained import DEFAULTS, SRGAN_UP_TO_2, path_of

    lines = [BUNDLED("with fastsr", "method", "factor", "MB", "what for; scores; licence of the data")]
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
    note = f"* taken where none is named{f'; {SRGAN_UP_TO_2} up to a factor of 2' if SRGAN_UP_TO_2 in shown else ''}"
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
    """Return a row for each."""
    from ..cache import cache_folder, file_name

    lines = [PUBLISHED(f"on the web, {OF_THE_WEB}", "licence", "cached", "network")]
    for name, entry in named.items():
        cached = (cache_folder() / file_name(entry.address)).is_file()
        lines.append(PUBLISHED(name, entry.licence, "yes" if cached else "no", entry.what))
    return lines


def _published(name: str, entry: NamedWeights) -> list[str]:
    """Return what is known of weights on the web."""
    return [f"# {name}", "", f"{entry.what}.", "", entry.address, f"sha256 {entry.sha256}", f"Licence: {entry.licence}"]
