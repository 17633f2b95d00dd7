"""``fastsr compare``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click

from ..errors import FastsrError, OutputError
from .common import Command
from .words import QUOTED

PICTURE = re.compile(rf"\bpictures\[(\d+)\](?:={QUOTED})?")
"""What the function calls a picture, with its path where that is said."""


@click.command(cls=Command)
@click.argument("images", nargs=-1, required=True, metavar="IN...")
@click.option("-o", "--output", required=True, metavar="OUT", help="The file of the comparison.")
@click.option("--original", metavar="FILE", help="What the pictures should be: shown last, and titles get PSNR.")
@click.option("--crop", type=(int, int, int, int), metavar="L T R B", help="Left, top, right, bottom of what is shown.")
@click.option(
    "--zoom", type=int, help="Draw each pixel as a square of that side.  [default: what makes about 256 of all]"
)
@click.option(
    "--title",
    "titles",
    multiple=True,
    help="What stands above a picture, in ASCII; once for each IN.  [default: the names of the files]",
)
def compare(images: tuple[str, ...], output: str, titles: tuple[str, ...], **options: Any) -> None:
    """Draw pictures, or a part of all, side by side.

    Smaller ones are shown at the size of the largest, pixel by pixel; --crop is in pixels of that. Without it all is
    shown, or of more than 512 pixels a side the 256x256 with most detail.

    \b
      fastsr compare photo.png photo_dip_x4.png photo_srgan_x4.png -o compared.png
      fastsr compare dip/a.png srgan/a.png --original a.png --crop 96 0 224 128 -o compared.png
    """
    from ..compare import compare as run
    from ..files import prepare_folder
    from ..images import save

    inputs = [*images, options["original"]] if options["original"] else images
    if os.path.realpath(output) in map(os.path.realpath, inputs):
        raise OutputError(f"the comparison would overwrite the input {output!r}")
    try:
        sheet = run(*images, titles=titles or None, **options)
    except FastsrError as error:
        raise type(error)(PICTURE.sub(lambda match: f"IN {images[int(match[1])]!r}", str(error))) from error
    prepare_folder(Path(output).parent)
    save(sheet, output)
    click.echo(output)
