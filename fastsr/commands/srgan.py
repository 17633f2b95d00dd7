"""``fastsr srgan``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import command_options
from ..srgan.options import SRGANOptions
from .common import Command, check_kernels, images_argument, max_pixels_option, output_option, work_through

if TYPE_CHECKING:
    from ..errors import Doubt
    from ..images import Picture


@click.command(cls=Command, params=[images_argument(), output_option(), *command_options(SRGANOptions)])
@max_pixels_option
def srgan(images: tuple[str, ...], output: str | None, max_pixels: int | None, **arguments: Any) -> None:
    """Upscale images with a trained network.

    The default weights, srgan-x4, hallucinate texture; srresnet-x4 adds none, and its results are smoother.

    The weights are a checkpoint of SRGAN or SRResNet from fastsr, leftthomas, Lornatang, sgrvinod or eriklindernoren,
    or of ESRGAN, Real-ESRGAN or MSRResNet. Loading never runs code from the file. `fastsr weights` lists the bundled
    weights, and published ones that are downloaded on first use.

    IN is an image, a folder of images or a quoted pattern such as 'photos/*.png'. The result for photo.png is
    photo_srgan_x4.png. Results of earlier runs in a folder or pattern are skipped if their source image is also
    present.

    \b
      fastsr srgan photo.png
      fastsr srgan 'photos/*.jpg' --weights realesrgan-x4plus -o upscaled
    """
    from ..images import save
    from ..io.codecs import check_size
    from ..io.image_paths import plan_outputs
    from ..srgan import srgan as run
    from ..srgan.arguments import check_options, target_size

    options = check_options(SRGANOptions(**arguments))
    check_kernels(options.device)
    check_kernels("cpu")  # where results are resized
    arguments["weights"] = options.checkpoint

    def check(picture: Picture, target: Path) -> list[Doubt]:
        height, width = target_size(picture.pixels, options, "IN")
        check_size(target, width, height)
        return []

    def work(pictures: Iterator[Picture]) -> Iterator[Any]:
        return run(pictures, **arguments)

    def write(picture: Picture, result: Picture, target: Path) -> None:
        save(result, target)

    plan = plan_outputs(images, output, suffix=f"_srgan_x{options.factor:.15g}")
    work_through(plan, max_pixels, check, work, write)
