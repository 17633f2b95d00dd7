"""``fastsr niqe-fit``."""

from __future__ import annotations

from pathlib import Path

import click

from .common import Command, check_kernels, max_pixels_option


@click.command("niqe-fit", cls=Command)
@click.argument("folder", metavar="DIR")
@click.option("-o", "--output", required=True, metavar="FILE", help="The file of the model, .safetensors.")
@max_pixels_option
def niqe_fit(folder: str, output: str, max_pixels: int | None) -> None:
    """Fit a model of good photographs for NIQE.

    Results by it can be compared with each other, not with those by the model of NIQE's authors. Therefore
    fastsr metrics --niqe --niqe-model FILE writes the name of the file beside each.
    """
    from ..errors import InputError
    from ..files import find_images, prepare_folder
    from ..niqe.fit import fit
    from ..niqe.model import save

    target = Path(output)
    if target.suffix.lower() != ".safetensors":  # before the work, which save would refuse only after it
        raise InputError(f"output={output!r} does not end in .safetensors")
    check_kernels("cpu")
    paths = find_images([folder])
    prepare_folder(target.parent)
    model = fit(paths, name=target.name, source=Path(folder).resolve().name, max_pixels=max_pixels)
    save(model, target)
    click.echo(model)
