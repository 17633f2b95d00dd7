"""``fastsr compare``."""

from __future__ import annotations

import os
from typing import Any

import click

from ..errors import OutputError
from .common import Command


@click.command(cls=Command)
@click.argument("images", nargs=-1, required=True, metavar="IN...")
@click.option("-o", "--output", required=True, metavar="OUT", help="The file of the comparison.")
@click.option("--original", metavar="FILE", help="What the pictures should be: shown last, and titles get PSNR.")
@click.option("--crop", type=(int, int, int, int), metavar="L T R B", help="Left, top, right, bottom of what is shown.")
@click.option("--zoom", type=int, help="How many pixels each pixel takes on a side.  [default: room for 256]")
@click.option("--title", "titles", multiple=True, help="Once for each IN.  [default: the names of the files]")
def compare(images: tuple[str, ...], output: str, titles: tuple[str, ...], **options: Any) -> None:
    """Draw pictures, or one part of all of them, side by side under titles.

    Smaller ones are shown at the size of the largest, pixel by pixel; --crop is in pixels of that. Without it all is
    shown, or of more than 512 pixels a side the 256x256 with most detail.

    \b
      fastsr compare photo.png photo_dip_x4.png photo_srgan_x4.png -o compared.png
      fastsr compare dip/a.png srgan/a.png --original a.png --crop 96 0 224 128 -o compared.png
    """
    from ..compare import compare as run
    from ..images import save

    inputs = [*images, options["original"]] if options["original"] else images
    if os.path.realpath(output) in map(os.path.realpath, inputs):
        raise OutputError(f"the comparison would overwrite the input {output!r}")
    save(run(*images, titles=titles or None, **options), output)
    click.echo(output)
