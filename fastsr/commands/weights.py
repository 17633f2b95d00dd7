"""``fastsr weights``."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from ..errors import InputError
from .common import Command

if TYPE_CHECKING:
    from ..pretrained import Card
    from ..srgan.named import NamedWeights

WIDTH = 100
MEGABYTE = 10**6
BUNDLED = "{:<13} {:<6} {:>6} {:>6}  {}".format
PUBLISHED = "{:<20} {:<13} {:<7} {}".format


@click.command(cls=Command)
@click.argument("name", required=False, metavar="[NAME]")
def weights(name: str | None) -> None:
    """List the weights that have a name, or print the model card of NAME.

    Some come with fastsr, and need no connection. Others are what their authors published: they are downloaded once,
    when they are first asked for.

    \b
      fastsr weights
      fastsr weights srgan-x4
      fastsr srgan photo.png --weights realesrgan-x4plus
    """
    from .. import pretrained
    from ..srgan.named import NAMED

    bundled = pretrained.names()
    if name is None:
        click.echo("\n".join([*_bundled_table([pretrained.card_of(each) for each in bundled]), "", *_web_table()]))
    elif name in bundled:
        click.echo(pretrained.card_of(name).text)
    elif name in NAMED:
        click.echo("\n".join(_published(name, NAMED[name])))
    else:
        raise InputError(f"name={name!r} is unknown; choose one of {', '.join([*bundled, *NAMED])}")


def _bundled_table(cards: list[Card]) -> list[str]:
    """Return a row for each: the first measure of every test, and below it the licence of the data."""
    from ..pretrained import path_of

    lines = [BUNDLED("with fastsr", "method", "factor", "MB", "scores; licence of the data")]
    room = WIDTH - len(BUNDLED("", "", "", "", ""))
    for card in cards:
        firsts = [(test, next(iter(measures.items()))) for test, measures in card.scores.items() if measures]
        scores = "; ".join(f"{test}: {measure} {value:g}" for test, (measure, value) in firsts)
        factor = "any" if card.factor is None else f"x{card.factor:g}"
        size = f"{path_of(card.name).stat().st_size / MEGABYTE:.1f}"
        facts = (card.name, card.method, factor, size)
        for text in (*textwrap.wrap(scores, room), *textwrap.wrap(card.licence, room)):
            lines.append(BUNDLED(*facts, text))
            facts = ("", "", "", "")
    return lines


def _web_table() -> list[str]:
    """Return a row for each."""
    from ..cache import cache_folder, file_name
    from ..srgan.named import NAMED

    lines = [PUBLISHED("on the web, srgan", "licence", "cached", "network")]
    for name, entry in NAMED.items():
        cached = (cache_folder() / file_name(entry.address)).is_file()
        lines.append(PUBLISHED(name, entry.licence, "yes" if cached else "no", entry.what))
    return lines


def _published(name: str, entry: NamedWeights) -> list[str]:
    """Return what is known of weights on the web."""
    return [f"# {name}", "", f"{entry.what}.", "", entry.address, f"sha256 {entry.sha256}", f"Licence: {entry.licence}"]
