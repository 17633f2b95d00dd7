"""``fastsr resize``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from ..typing import Border, Kernel
from .common import Command, check_kernels, images_argument, max_pixels_option, output_option, work_through

if TYPE_CHECKING:
    from ..errors import Doubt
    from ..images import Picture


@click.command(cls=Command, params=[images_argument(), output_option()])
@click.option("--scale", type=float, help="Output size over input size, such as 0.25.")
@click.option("--size", type=(int, int), metavar="H W", help="Output height and width in pixels, in place of --scale.")
@click.option(
    "--kernel", type=click.Choice(get_args(Kernel)), default="bicubic", show_default=True, help="Interpolation filter."
)
@click.option(
    "--border",
    type=click.Choice(get_args(Border)),
    default="symmetric",
    show_default=True,
    help="How the image continues beyond its border.",
)
@click.option("--antialias/--no-antialias", default=True, show_default=True, help="Widen the filter when downscaling.")
@max_pixels_option
def resize(
    images: tuple[str, ...],
    output: str | None,
    scale: float | None,
    size: tuple[int, int] | None,
    max_pixels: int | None,
    **options: Any,
) -> None:
    """Resize images exactly as MATLAB's imresize does.

    IN is an image, a folder of images or a quoted pattern such as 'photos/*.png'. The result for photo.png with
    --scale 0.25 is photo_bicubic_x0.25.png. Results of earlier runs in a folder or pattern are skipped if their source
    image is also present.

    \b
      fastsr resize photo.png --scale 0.25
      fastsr resize photo.png --size 480 640 --kernel lanczos3 -o small.png
    """
    from ..images import save
    from ..images.resizing import resize as run
    from ..imresize import check_options
    from ..io.image_paths import plan_outputs

    check_options(scale, size, options["kernel"], options["border"])
    check_kernels("cpu")

    def check(picture: Picture, target: Path) -> list[Doubt]:
        return []

    def work(pictures: Iterator[Picture]) -> Iterator[Any]:
        return (run(picture, scale, size=size, **options) for picture in pictures)

    def write(picture: Picture, result: Picture, target: Path) -> None:
        save(result, target)

    ratio = f"x{scale:.15g}" if scale is not None else "x".join(map(str, size or ()))
    plan = plan_outputs(images, output, suffix=f"_{options['kernel']}_{ratio}")
    work_through(plan, max_pixels, check, work, write)
