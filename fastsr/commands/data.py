"""``fastsr data get`` and ``fastsr data list``."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from .common import Command

MEGABYTE = 10**6


@click.group()
def data() -> None:
    """Download test and training sets.

    \b
      fastsr data list
      fastsr data get Set5 Urban100
      fastsr evaluate bicubic --data data/Set5 --factor 4
    """


@data.command(cls=Command)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "-o", "--output", metavar="DIR", help="The folder that gets a folder for each.  [default: FASTSR_DATA, or data]"
)
def get(names: tuple[str, ...], output: str | None) -> None:
    """Download data sets, each into a folder of its name, and check every file.

    What a broken connection has left is gone on from by the next call. A set is there whole or not at all, and is
    downloaded once.
    """
    from ..data.fetch import get_set
    from ..data.sets import find_set

    folder = Path(output or os.environ.get("FASTSR_DATA") or "data")
    for entry in [find_set(name) for name in names]:
        target = folder / entry.name
        new = get_set(entry, folder, progress=True, show=click.echo)
        click.echo(f"{target}{'' if new else ' is there already'}: {entry.pictures} pictures; {entry.terms}")
        if not entry.training:
            click.echo(f"  fastsr evaluate bicubic --data {shlex.quote(str(target))} --factor 4")


@data.command("list", cls=Command)
def list_sets() -> None:
    """Print the data sets: pictures, megabytes to download, what files are checked by, and terms."""
    from ..data.sets import SETS

    row = "{:<12} {:<6} {:>8} {:>8}  {:<8} {}".format
    click.echo(row("name", "for", "pictures", "MB", "checksum", "terms"))
    for entry in SETS:
        purpose = "train" if entry.training else "test"
        checksums = "/".join(sorted({download.checksum.algorithm for download in entry.downloads}))
        click.echo(row(entry.name, purpose, entry.pictures, round(entry.size / MEGABYTE), checksums, entry.terms))
