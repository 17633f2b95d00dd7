"""``fastsr compare``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from ..errors import OutputError
from .common import Command


@click.command(cls=Command)
@click.argument("images", nargs=-1, required=True, metavar="IN...")
@click.option("-o", "--output", required=True, metavar="OUT", help="Output file.")
@click.option("--original", metavar="FILE", help="Ground truth: shown last, and titles get the PSNR against it.")
@click.option("--crop", type=(int, int, int, int), metavar="L T R B", help="Left, top, right and bottom of the crop.")
@click.option(
    "--zoom", type=int, help="Draw each pixel as a square of this side.  [default: crops become about 256 pixels wide]"
)
@click.option(
    "--title",
    "titles",
    multiple=True,
    help="Title of an image, in ASCII; give one for each IN.  [default: the names of the files]",
)
def compare(images: tuple[str, ...], output: str, titles: tuple[str, ...], **options: Any) -> None:
    """Show images, or the same crop of each, side by side.

    Smaller images are shown at the size of the largest, without interpolation; --crop is in pixels of the largest.
    Without --crop, images are shown whole, or if a side has more than 512 pixels, by the 256x256 with the most detail.

    \b
      fastsr compare photo.png photo_dip_x4.png photo_srgan_x4.png -o compared.png
      fastsr compare dip/a.png srgan/a.png --original a.png --crop 96 0 224 128 -o compared.png
    """
    from ..figures.comparison import compare as run
    from ..images import save
    from ..io.files import prepare_folder

    inputs = [*images, options["original"]] if options["original"] else images
    if os.path.realpath(output) in map(os.path.realpath, inputs):
        raise OutputError(f"the comparison would overwrite the input {output!r}")
    sheet = run(*images, titles=titles or None, **options)
    prepare_folder(Path(output).parent)
    save(sheet, output)
    click.echo(output)
