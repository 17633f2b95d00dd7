"""``fastsr prepare``."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from ..checks import input_error
from .common import EXIT_BAD_INPUT, Command, check_kernels, complain, images_argument, renamed


@click.command(cls=Command, params=[images_argument()])
@click.option("-o", "--output", required=True, metavar="OUT", help="Output folder.")
@click.option(
    "--factor",
    "factors",
    type=click.IntRange(min=2),
    multiple=True,
    default=(4,),
    show_default=True,
    help="Downscaling factor of the LR images; can be given several times.",
)
@click.option("--sr", is_flag=True, help="Also upscale the LR images again, with the same filter.")
@click.option("--lmdb", is_flag=True, help="Write LMDB databases instead of folders.")
@click.option(
    "--crop", type=click.IntRange(min=1), help="Cut the images into squares of this side, in HR pixels; needs --step."
)
@click.option(
    "--step",
    type=click.IntRange(min=1),
    help="Distance between the squares of --crop, in HR pixels; they may overlap.",
)
@click.option(
    "--size",
    metavar="L,H",
    help="Write LR and HR squares of these sides, such as 16,128, from the center of each image.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Number of processes.  [default: one for each CPU]")
def prepare(images: tuple[str, ...], factors: tuple[int, ...], size: str | None, **options: Any) -> None:
    """Prepare a data set of HR, LR and SR images.

    Images are downscaled and upscaled as by MATLAB's imresize. IN is an image, a folder of images or a quoted pattern
    such as 'photos/*.png'. OUT gets HR/photo.png, cropped to a multiple of all factors, LR_bicubic/X4/photo.png, and
    with --sr SR_bicubic/X4/photo.png; or with --lmdb the databases HR.lmdb, LR_bicubic_X4.lmdb and
    SR_bicubic_X4.lmdb. Run the command again to write only missing images.

    With --size 16,128 OUT gets squares for the training of SR3: hr_128/photo.png, the center of the image,
    lr_16/photo.png and sr_16_128/photo.png; or with --lmdb one database, squares_16_128.lmdb.

    \b
      fastsr prepare DIV2K_train_HR -o DIV2K --factor 4 --factor 2
      fastsr prepare DIV2K_train_HR -o DIV2K_sub --crop 480 --step 240 --lmdb
      fastsr prepare faces -o faces_16_128 --size 16,128
    """
    from ..data.prepare import prepare as run

    check_kernels("cpu")
    given = click.get_current_context().get_parameter_source("factors") is not ParameterSource.DEFAULT
    with renamed(sizes="size"):
        done = run(images, factors=factors if given else None, sizes=None if size is None else _sides(size), **options)
    for picture, error in done.failures.items():
        complain(error, picture)
    click.echo(f"{options['output']}: {done.made} prepared, {done.there} existed already")
    if done.failures:
        click.get_current_context().exit(EXIT_BAD_INPUT)


def _sides(size: str) -> tuple[int, ...]:
    try:
        return tuple(int(side) for side in size.split(","))
    except ValueError as error:
        raise input_error(
            "size", size, "is not two sides in pixels", "give those of LR and HR, such as 16,128"
        ) from error
