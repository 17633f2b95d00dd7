"""``fastsr metrics``."""

from __future__ import annotations

from typing import Any

import click

from .common import Command, max_pixels_option


@click.command(cls=Command)
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
    from ..images import read
    from ..metrics import psnr, ssim

    pictures = [read(path, name, max_pixels=max_pixels) for path, name in ((a, "A"), (b, "B"))]
    values = psnr(*pictures, **options), ssim(*pictures, **options)  # either may refuse the pictures
    click.echo("PSNR {:.3f} dB\nSSIM {:.4f}".format(*values))
