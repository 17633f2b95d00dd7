"""The command line: ``fastsr dip | resize | metrics | doctor``.

Everything heavy is imported inside the commands, so that ``fastsr --help`` answers at once.
"""

from __future__ import annotations

from typing import Any

import click

from . import __version__
from .errors import FastsrError, Interrupted

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


class Command(click.Command):
    """A command whose known errors become one line on stderr instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except FastsrError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(EXIT_BAD_INPUT)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(EXIT_INTERRUPTED)


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


images_argument = click.argument("images", nargs=-1, required=True, metavar="IN...")
output_option = click.option(
    "-o", "--output", metavar="OUT|DIR", help="A file (for one picture) or a folder.  [default: beside IN]"
)
max_pixels_option = click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    help="Open pictures of up to this many pixels.  [default: Pillow's limit against decompression bombs]",
)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fastsr")
def main() -> None:
    """Upscale and restore pictures."""


@main.command()
@images_argument
@output_option
@click.option("--factor", type=float, default=4.0, show_default=True, help="How many times larger each side becomes.")
@click.option("--preset", default="fast", show_default=True, help="fast, or paper for the recipe of the paper.")
@click.option("--steps", type=int, help="Optimiser steps.  [default: the preset's]")
@click.option("--seed", type=int, default=0, show_default=True, help="Names the random numbers.")
@click.option("--device", help="cpu, cuda or cuda:N.  [default: cuda when present]")
@click.option("--dtype", help="float32 or bfloat16.  [default: bfloat16 where the device computes in it]")
@click.option("--consistency", is_flag=True, help="Make the downscaled result equal the input.")
@click.option("--compare", is_flag=True, help="Also write bicubic and result side by side, as OUT_compare.")
@max_pixels_option
def dip(
    images: tuple[str, ...],
    output: str | None,
    factor: float,
    compare: bool,
    max_pixels: int | None,
    **options: Any,
) -> None:
    """Upscale pictures with Deep Image Prior, which needs no training and no weights.

    IN is a picture, a folder of pictures or a pattern such as 'photos/*.png'. The result of photo.png is
    photo_dip_x4.png. Ctrl-C writes the picture reached so far.
    """
    from . import resize as enlarge
    from .compare import side_by_side
    from .dip import dip as upscale
    from .files import plan_outputs
    from .images import check_output, read, save

    for source, target in plan_outputs(images, output, suffix=f"_dip_x{factor:g}"):
        picture = read(source, "IN", max_pixels=max_pixels)
        check_output(target, picture)
        interrupted = False
        try:
            result = upscale(picture, factor, **options)
        except Interrupted as stop:
            result, interrupted = stop.image, True
        save(result, target)
        if compare:
            beside = target.with_name(f"{target.stem}_compare{target.suffix}")
            size = tuple(result.pixels.shape[-2:])
            save(side_by_side([("bicubic", enlarge(picture, size=size)), ("fastsr dip", result)]), beside)
        if interrupted:
            click.echo(f"Interrupted: {target} holds the picture reached so far.", err=True)
            click.get_current_context().exit(EXIT_INTERRUPTED)
        click.echo(target)


@main.command()
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

    The result of photo.png at --scale 0.25 is photo_bicubic_x0.25.png.
    """
    from .files import plan_outputs
    from .images import check_output, read, save
    from .resize import resize as run

    ratio = f"x{scale:g}" if scale is not None else "x".join(map(str, size or ()))
    for source, target in plan_outputs(images, output, suffix=f"_{options['kernel']}_{ratio}"):
        picture = read(source, "IN", max_pixels=max_pixels)
        check_output(target, picture)
        save(run(picture, scale, size=size, **options), target)
        click.echo(target)


@main.command()
@click.argument("a")
@click.argument("b")
@click.option("--channel", default="y", show_default=True, help="y for luma, or rgb.")
@click.option("--shave", type=int, default=0, show_default=True, help="Pixels to leave out at each side.")
@click.option("--protocol", default="rgb8", show_default=True, help="How pixels are rounded: rgb8 or matlab8.")
@max_pixels_option
def metrics(a: str, b: str, max_pixels: int | None, **options: Any) -> None:
    """Print PSNR and SSIM of picture A against picture B."""
    from .images import read
    from .metrics import psnr, ssim

    pictures = [read(path, name, max_pixels=max_pixels) for path, name in ((a, "A"), (b, "B"))]
    click.echo(f"PSNR {psnr(*pictures, **options):.3f} dB")
    click.echo(f"SSIM {ssim(*pictures, **options):.4f}")


@main.command()
def doctor() -> None:
    """Report versions, devices, which implementation each op uses and why, and check the kernels."""
    from .doctor import report

    lines, healthy = report()
    click.echo("\n".join(lines))
    if not healthy:
        click.get_current_context().exit(1)
