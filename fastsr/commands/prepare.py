"""``fastsr prepare``."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from ..errors import InputError
from .common import EXIT_BAD_INPUT, Command, check_kernels, complain, images_argument
from .words import renamed


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
@click.option("--lmdb", is_flag=True, help="Write LMDB instead of folders.")
@click.option("--crop", type=click.IntRange(min=1), help="Cut pictures into squares of this side, in pixels of HR.")
@click.option("--step", type=click.IntRange(min=1), help="From one square to the next; squares may overlap.")
@click.option(
    "--size",
    metavar="L,H",
    help="Make squares of these two sides, such as 16,128, of the middle of pictures, instead of whole pictures.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes to work in.  [default: one a CPU]")
def prepare(images: tuple[str, ...], factors: tuple[int, ...], size: str | None, **options: Any) -> None:
    """Make a data set: HR, LR and SR pictures.

    They are reduced and enlarged as MATLAB's imresize does. IN is a picture, a folder of pictures or a pattern such
    as 'photos/*.png'. OUT gets HR/photo.png, cropped to a multiple of all factors, LR_bicubic/X4/photo.png, and
    with --sr SR_bicubic/X4/photo.png; or with --lmdb the databases HR.lmdb, LR_bicubic_X4.lmdb and
    SR_bicubic_X4.lmdb. A second run makes what is missing.

    With --size 16,128 OUT gets squares, as SR3 is trained on them: hr_128/photo.png, the middle of the picture,
    lr_16/photo.png and sr_16_128/photo.png; or with --lmdb one database of all, squares_16_128.lmdb.

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
    click.echo(f"{options['output']}: {done.made} prepared, {done.there} there already")
    if done.failures:
        click.get_current_context().exit(EXIT_BAD_INPUT)


def _sides(size: str) -> tuple[int, ...]:
    try:
        return tuple(int(side) for side in size.split(","))
    except ValueError as error:
        raise InputError(
            f"size={size!r} is not two sides in pixels; give those of LR and HR, such as 16,128"
        ) from error
