"""The command line: ``fastsr dip | resize | metrics | evaluate | doctor``.

Everything heavy is imported inside the commands, so that ``fastsr --help`` answers at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import __version__
from .errors import FastsrError, InputError, Interrupted
from .evaluate.command import MethodGroup

if TYPE_CHECKING:
    import torch

    from .images import Picture

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
COMPARED = ("bicubic", "fastsr dip")


class Command(click.Command):
    """A command whose known errors become one line on stderr instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = lambda message, *_, **__: click.echo(f"Warning: {message}", err=True)
                return super().invoke(ctx)
        except FastsrError as error:
            complain(error)
            ctx.exit(EXIT_BAD_INPUT)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(EXIT_INTERRUPTED)


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


class EvaluateGroup(MethodGroup):
    """The methods as such commands."""

    command_class = Command


def complain(error: FastsrError, source: Path | None = None) -> None:
    """Print an error as one line, which names the picture `source` that it is about."""
    message = " ".join(str(error).splitlines())
    named = source is None or repr(str(source)) in message
    click.echo(f"Error: {message}" if named else f"Error: {str(source)!r}: {message}", err=True)


def work_through(
    plan: Iterable[tuple[Path, Path]],
    max_pixels: int | None,
    work: Callable[[Picture, Path], Any],
    write: Callable[[Picture, Any, Path], None],
) -> None:
    """Read every picture of the plan, `work` on it and `write` the result; end the command as that went.

    A picture that fails does not keep those after it from being done. Ctrl-C does, once its picture is written.
    """
    from .images import check_output, read

    failed = interrupted = False
    for source, target in plan:
        try:
            picture = read(source, "IN", max_pixels=max_pixels)
            check_output(target, picture)
            try:
                result = work(picture, target)
            except Interrupted as stop:
                result, interrupted = stop.image, True
            write(picture, result, target)
        except FastsrError as error:
            complain(error, source)
            failed = True
        else:
            if interrupted:
                click.echo(f"Interrupted: {target} holds the picture reached so far.", err=True)
            else:
                click.echo(target)
        if interrupted:
            click.get_current_context().exit(EXIT_INTERRUPTED)
    if failed:
        click.get_current_context().exit(EXIT_BAD_INPUT)


@contextmanager
def kernel_choice() -> Iterator[None]:
    """Turn what the kernels say of FASTSR_KERNELS, which only a user of the command line sets, into its error."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from error


def check_kernels(device: str | torch.device) -> None:
    """Refuse a FASTSR_KERNELS that names no implementation, or none for `device`."""
    import torch

    from fastsr_kernels import backend

    with kernel_choice():
        backend.choose(torch.empty(0, device=device))


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
    consistency: bool,
    compare: bool,
    max_pixels: int | None,
    **options: Any,
) -> None:
    """Upscale pictures with Deep Image Prior.

    An untrained network is fitted to each picture: no training data, no weights.

    IN is a picture, a folder of pictures or a pattern such as 'photos/*.png'. The result of photo.png is
    photo_dip_x4.png. In folders and patterns the results of earlier runs are
    left out where the picture that they were made of is there too. Ctrl-C writes the picture reached so far.
    """
    from .codecs import check_size
    from .compare import sheet_size, side_by_side
    from .dip import check_options, target_size
    from .dip import dip as upscale
    from .files import comparison_of, plan_outputs
    from .images import save
    from .resize import resize as enlarge

    check_kernels(check_options(factor=factor, **options).device)
    if compare:
        check_kernels("cpu")

    def work(picture: Picture, target: Path) -> Any:
        if picture.alpha is not None:
            check_kernels("cpu")  # where alpha is resized
        height, width = target_size(picture.pixels, factor, "IN")
        check_size(target, width, height)
        if compare:
            check_size(comparison_of(target), *sheet_size([(title, (width, height)) for title in COMPARED]))
        return upscale(picture, factor, consistency=consistency, **options)

    def write(picture: Picture, result: Picture, target: Path) -> None:
        save(result, target)
        if compare:
            bicubic = enlarge(picture, size=tuple(result.pixels.shape[-2:]))
            save(side_by_side(list(zip(COMPARED, (bicubic, result), strict=True))), comparison_of(target))

    work_through(plan_outputs(images, output, suffix=f"_dip_x{factor:.15g}", compare=compare), max_pixels, work, write)


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

    The result of photo.png at --scale 0.25 is photo_bicubic_x0.25.png. In folders and patterns the results of
    earlier runs are left out where the picture that they were made of is there too.
    """
    from .files import plan_outputs
    from .images import save
    from .resize import check_options
    from .resize import resize as run

    check_options(scale, size, options["kernel"], options["border"])
    check_kernels("cpu")

    def work(picture: Picture, target: Path) -> Any:
        return run(picture, scale, size=size, **options)

    def write(picture: Picture, result: Picture, target: Path) -> None:
        save(result, target)

    ratio = f"x{scale:.15g}" if scale is not None else "x".join(map(str, size or ()))
    work_through(plan_outputs(images, output, suffix=f"_{options['kernel']}_{ratio}"), max_pixels, work, write)


@main.command()
@click.argument("a")
@click.argument("b")
@click.option("--channel", default="y", show_default=True, help="y for luma, or rgb.")
@click.option("--shave", type=int, default=0, show_default=True, help="Pixels to leave out at each side.")
@click.option(
    "--protocol",
    default="rgb8",
    show_default=True,
    help="How pixels are rounded: rgb8, matlab8, or float for not at all.",
)
@max_pixels_option
def metrics(a: str, b: str, max_pixels: int | None, **options: Any) -> None:
    """Print PSNR and SSIM of picture A against picture B."""
    from .images import read
    from .metrics import psnr, ssim

    pictures = [read(path, name, max_pixels=max_pixels) for path, name in ((a, "A"), (b, "B"))]
    values = psnr(*pictures, **options), ssim(*pictures, **options)  # either may refuse the pictures
    click.echo("PSNR {:.3f} dB\nSSIM {:.4f}".format(*values))


@main.group(cls=EvaluateGroup)
def evaluate() -> None:
    """Run a method on a benchmark: a table, CSV, the pictures and an HTML report."""


@main.command()
def doctor() -> None:
    """Report the environment and check the kernels.

    Versions, devices, and which implementation each operation uses and why.
    """
    import torch

    from fastsr_kernels import backend

    from .doctor import report

    with kernel_choice():
        backend.explain(torch.device("cpu"))
    lines, healthy = report()
    click.echo("\n".join(lines))
    if not healthy:
        click.get_current_context().exit(1)
