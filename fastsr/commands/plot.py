"""``fastsr plot``."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import OutputError
from .common import Command
from .words import renamed

SUFFIXES = (".png", ".svg", ".pdf")


@click.command(cls=Command)
@click.argument("run")
@click.option("-o", "--output", metavar="OUT", help="A .png, .svg or .pdf file.  [default: RUN/curves.png]")
def plot(run: str, output: str | None) -> None:
    """Draw the curves of a training.

    They are the losses and validations of RUN, a folder of fastsr train, which may still go on. Needs matplotlib:
    pip install matplotlib.

    \b
      fastsr plot runs/srgan
    """
    from ..files import atomic_write, prepare_folder
    from ..history import History

    target = Path(output or Path(run) / "curves.png")
    if target.suffix.lower() not in SUFFIXES:
        raise OutputError(f"output {str(target)!r} has no suffix that can be written: {', '.join(SUFFIXES)}")
    with renamed(run="RUN"):
        figure = History.read(run).plot()
    prepare_folder(target.parent)
    with atomic_write(target) as file:
        figure.savefig(file, format=target.suffix[1:].lower())
    click.echo(target)
