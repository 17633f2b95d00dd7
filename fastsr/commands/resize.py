"""``fastsr resize``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import Command, check_kernels, images_argument, max_pixels_option, output_option, work_through

if TYPE_CHECKING:
    from ..images import Picture


@click.command(cls=Command)
@images_argument
@output_option
@click.option("--scale", type=float, help="Output size over input size, such as 0.25.")
@click.option("--size", type=(int, int), metavar="H W", help="Output size in pixels, instead of --scale.")
@click.option("--kernel", default="bicubic", show_default=True, help="bicubic, lanczos2, lanczos3, linear or box.")
@click.option("--border", default="symmetric", show_default=True, help="symmetric, replicate or reflect.")
@click.option("--antialias/--no-antialias", default=True, show_default=True, help="Widen the kernel when shrinking.")
@max_pixels_option
def resize(
    images: tuple[str, ...],
    output: str | None,
    scale: float | None,
    size: tuple[int, int] | None,
    max_pixels: int | None,
    **options: Any,
) -> None:
    """Resize pictures as MATLAB's imresize does, to the last digit.

    The result of photo.png at --scale 0.25 is photo_bicubic_x0.25.png. In folders and patterns the results of
    earlier runs are left out where the picture that they were made of is there too.
    """
    from ..files import plan_outputs
    from ..images import save
    from ..imresize import check_options
    from ..resize import resize as run

    check_options(scale, size, options["kernel"], options["border"])
    check_kernels("cpu")

    def check(picture: Picture, target: Path) -> None:
        """Take every picture."""

    def work(pictures: Iterator[Picture]) -> Iterator[Any]:
        return (run(picture, scale, size=size, **options) for picture in pictures)

    def write(picture: Picture, result: Picture, target: Path) -> None:
        save(result, target)

    ratio = f"x{scale:.15g}" if scale is not None else "x".join(map(str, size or ()))
    plan = plan_outputs(images, output, suffix=f"_{options['kernel']}_{ratio}")
    work_through(plan, max_pixels, check, work, write)
