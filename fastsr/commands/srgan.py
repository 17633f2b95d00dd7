"""``fastsr srgan``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..pretrained import DEFAULTS, SRGAN_UP_TO_2
from .common import Command, check_kernels, images_argument, max_pixels_option, output_option, work_through

if TYPE_CHECKING:
    from ..images import Picture


@click.command(cls=Command)
@images_argument
@output_option
@click.option(
    "--weights",
    metavar="FILE|URL|NAME",
    help="A checkpoint, or a name of `fastsr weights`; a URL may end in #sha256=DIGITS.  "
    f"[default: {DEFAULTS['srgan']}; up to --factor 2 {SRGAN_UP_TO_2}]",
)
@click.option("--factor", type=float, default=4, show_default=True, help="How many times larger each side becomes.")
@click.option("--ensemble", is_flag=True, help="Average the results of the 8 flips and rotations.")
@click.option(
    "--tile", type=int, help="Largest side of a tile, in pixels of the picture.  [default: what fits into memory]"
)
@click.option("--device", help="cpu, cuda or cuda:N.  [default: cuda when present]")
@click.option("--dtype", help="float32 or bfloat16.  [default: bfloat16 where the device computes in it]")
@click.option(
    "--consistency/--no-consistency",
    default=False,
    show_default=True,
    help="Make the result agree with the input: made small by the bicubic kernel, it is the input.",
)
@max_pixels_option
def srgan(images: tuple[str, ...], output: str | None, max_pixels: int | None, **arguments: Any) -> None:
    """Upscale pictures with a trained network.

    By default srgan-x4, which draws texture that was not seen; srresnet-x4 draws none, and is smoother.

    The weights are a checkpoint of SRGAN or SRResNet by fastsr, leftthomas, Lornatang, sgrvinod or eriklindernoren, or
    of ESRGAN, Real-ESRGAN or MSRResNet. No code in the file is run. `fastsr weights` lists those that have a name: what
    comes with fastsr, and what others published, downloaded once.

    IN is a picture, a folder of pictures or a pattern such as 'photos/*.png'. The result of photo.png is
    photo_srgan_x4.png. In folders and patterns the results of earlier runs are left out where the picture that they
    were made of is there too.
    """
    from ..codecs import check_size
    from ..files import plan_outputs
    from ..images import save
    from ..srgan import srgan as run
    from ..srgan.arguments import check_options, target_size

    options = check_options(**arguments)
    check_kernels(options.device)
    check_kernels("cpu")  # where results are resized
    arguments["weights"] = options.checkpoint

    def check(picture: Picture, target: Path) -> None:
        height, width = target_size(picture.pixels, options, "IN")
        check_size(target, width, height)

    def work(pictures: Iterator[Picture]) -> Iterator[Any]:
        return run(pictures, **arguments)

    def write(picture: Picture, result: Picture, target: Path) -> None:
        save(result, target)

    plan = plan_outputs(images, output, suffix=f"_srgan_x{options.factor:.15g}")
    work_through(plan, max_pixels, check, work, write)
