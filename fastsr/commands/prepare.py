"""``fastsr prepare``."""

from __future__ import annotations

from typing import Any

import click

from .common import EXIT_BAD_INPUT, Command, check_kernels, complain, images_argument


@click.command(cls=Command)
@images_argument
@click.option("-o", "--output", required=True, metavar="OUT", help="The folder for the results.")
@click.option(
    "--factor",
    "factors",
    type=click.IntRange(min=2),
    multiple=True,
    default=(4,),
    show_default=True,
    help="How many times smaller LR pictures are; can be given several times.",
)
@click.option("--sr", is_flag=True, help="Also enlarge LR pictures again, by the same kernel.")
@click.option("--lmdb", is_flag=True, help="Write LMDB databases instead of folders.")
@click.option("--crop", type=click.IntRange(min=1), help="Cut pictures into squares of this side, in pixels of HR.")
@click.option("--step", type=click.IntRange(min=1), help="From one square to the next; squares may overlap.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes to work in.  [default: one a CPU]")
def prepare(images: tuple[str, ...], **options: Any) -> None:
    """Make HR, LR and SR pictures of HR pictures, as MATLAB's imresize does.

    IN is a picture, a folder of pictures or a pattern such as 'photos/*.png'. OUT gets HR/photo.png, cropped to a
    multiple of all factors, LR_bicubic/X4/photo.png, and with --sr SR_bicubic/X4/photo.png; or with --lmdb the
    databases HR.lmdb, LR_bicubic_X4.lmdb and SR_bicubic_X4.lmdb. A second run makes what is missing.

    \b
      fastsr prepare DIV2K_train_HR -o DIV2K --factor 4 --factor 2
      fastsr prepare DIV2K_train_HR -o DIV2K_sub --crop 480 --step 240 --lmdb
    """
    from ..data.prepare import prepare as run

    check_kernels("cpu")
    done = run(images, **options)
    for picture, error in done.failures.items():
        complain(error, picture)
    click.echo(f"{options['output']}: {done.made} prepared, {done.there} there already")
    if done.failures:
        click.get_current_context().exit(EXIT_BAD_INPUT)
