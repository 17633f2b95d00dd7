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
    "-o",
    "--output",
    metavar="DIR",
    help="Folder for the folders of the sets.  [default: $FASTSR_DATA, else data]",
)
def get(names: tuple[str, ...], output: str | None) -> None:
    """Download data sets, each to a folder of its name, and verify every file.

    Interrupted downloads resume on the next call. Downloads are atomic: a folder of a data set is complete or does not
    exist. A data set that exists is not downloaded again.
    """
    from ..data.fetch import get_set
    from ..data.sets import find_set

    folder = Path(output or os.environ.get("FASTSR_DATA") or "data")
    for entry in [find_set(name) for name in names]:
        target = folder / entry.name
        new = get_set(entry, folder, progress=True, show=click.echo)
        click.echo(f"{target}{'' if new else ' exists already'}: {entry.pictures} images; {entry.terms}")
        if not entry.training:
            click.echo(f"  fastsr evaluate bicubic --data {shlex.quote(str(target))} --factor 4")


@data.command("list", cls=Command)
def list_sets() -> None:
    """List the data sets: number of images, download size, checksums and terms of use."""
    from ..data.sets import SETS

    row = "{:<12} {:<6} {:>8} {:>8}  {:<8} {}".format
    click.echo(row("name", "for", "images", "MB", "checksum", "terms"))
    for entry in SETS:
        purpose = "train" if entry.training else "test"
        checksums = "/".join(sorted({download.checksum.algorithm for download in entry.downloads}))
        click.echo(row(entry.name, purpose, entry.pictures, round(entry.size / MEGABYTE), checksums, entry.terms))
