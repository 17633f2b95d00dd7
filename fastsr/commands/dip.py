"""``fastsr dip``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError
from .common import Command, check_kernels, images_argument, max_pixels_option, output_option, work_through

if TYPE_CHECKING:
    from ..images import Picture


@click.command(cls=Command)
@images_argument
@output_option
@click.option("--factor", type=float, help="How many times larger each side becomes.  [default: 4 to upscale, else 1]")
@click.option(
    "--task",
    default="upscale",
    show_default=True,
    help="upscale, denoise, inpaint (holes, text, watermarks) or restore (from scattered pixels).",
)
@click.option(
    "--mask",
    metavar="FILE|DIR",
    help="White where pixels are to be filled in, black where they are known; of a folder, the file named as IN.",
)
@click.option(
    "--sigma", type=float, help="Strength of the noise to remove, in levels of 8 bits, such as 25.  [default: unknown]"
)
@click.option(
    "--kernel",
    help="lanczos2, lanczos3, bicubic, linear or box, if you know what made the picture small.  [default: lanczos2]",
)
@click.option("--preset", default="fast", show_default=True, help="fast, or paper for the recipe of the paper.")
@click.option("--steps", type=int, help="Optimiser steps at the most.  [default: the preset's]")
@click.option(
    "--early-stop/--no-early-stop", default=None, help="End before the noise is fitted.  [default: to denoise]"
)
@click.option("--seed", type=int, default=0, show_default=True, help="Names the random numbers.")
@click.option("--device", help="cpu, cuda or cuda:N.  [default: cuda when present]")
@click.option("--dtype", help="float32 or bfloat16.  [default: bfloat16 where the device computes in it]")
@click.option(
    "--consistency/--no-consistency",
    default=None,
    help="Make the result agree with the input.  [default: to inpaint and restore, and to upscale with preset fast]",
)
@click.option("--compare", is_flag=True, help="Also write input and result side by side, as OUT_compare.")
@max_pixels_option
def dip(
    images: tuple[str, ...],
    output: str | None,
    mask: str | None,
    compare: bool,
    max_pixels: int | None,
    **arguments: Any,
) -> None:
    """Upscale and restore pictures with Deep Image Prior.

    An untrained network is fitted to each picture: no training data, no weights.

    IN is a picture, a folder of pictures or a pattern such as 'photos/*.png'. The result of photo.png is
    photo_dip_x4.png, or photo_dip_denoise.png. In folders and patterns the results of earlier runs are
    left out where the picture that they were made of is there too. Ctrl-C writes the picture reached so far.

    \b
      fastsr dip photo.png --factor 8
      fastsr dip noisy.png --task denoise
      fastsr dip old.png --task inpaint --mask scratches.png
    """
    from ..codecs import check_size, is_folder
    from ..dip import dip as fit
    from ..dip.arguments import check_options, target_size
    from ..dip.jobs import demands
    from ..files import comparison_of, plan_outputs
    from ..images import save
    from ..masks import read_known
    from ..resize import resize
    from ..sheets import sheet_size, side_by_side

    options = check_options(masked=mask is not None, **arguments)
    check_kernels(options.device)
    titles = ("input" if options.factor == 1 else "bicubic", "fastsr dip")
    if compare:
        check_kernels("cpu")
    plan = plan_outputs(images, output, suffix=_suffix(options.task, options.factor), compare=compare)
    if mask is not None and not is_folder(Path(mask), f"mask={mask!r}"):
        plan = [(source, target) for source, target in plan if not source.samefile(mask)]  # it may lie in the folder
    masks = {target: _mask_of(source, mask) for source, target in plan}
    asked_for: deque[Path | None] = deque()  # by the picture read last

    def check(picture: Picture, target: Path) -> None:
        if picture.alpha is not None:
            check_kernels("cpu")  # where alpha is resized
        small = (picture.pixels.shape[-2], picture.pixels.shape[-1])
        found = masks[target]
        known = None if found is None else read_known(found, small, f"mask={str(found)!r}", "IN")
        height, width = target_size(picture.pixels, options.factor, "IN")
        check_size(target, width, height)
        if compare:
            check_size(comparison_of(target), *sheet_size([(title, (width, height)) for title in titles]))
        demands(picture.pixels, known, options, "IN")
        asked_for.append(found)  # last: a picture that is refused asks for nothing

    def work(pictures: Iterator[Picture]) -> Iterator[Any]:
        used = None if mask is None else (asked_for.popleft() for _ in repeat(None))
        return fit(pictures, mask=used, **arguments)

    def write(picture: Picture, result: Picture, target: Path) -> list[str]:
        save(result, target)
        if not compare:
            return [str(target)]
        before = picture if options.factor == 1 else resize(picture, size=tuple(result.pixels.shape[-2:]))
        save(side_by_side(list(zip(titles, (before, result), strict=True))), comparison_of(target))
        return [str(target), str(comparison_of(target))]

    work_through(plan, max_pixels, check, work, write)


def _suffix(task: str, factor: float) -> str:
    """Return what the name of a result has after that of its input: _dip_x4, _dip_denoise, _dip_denoise_x2."""
    what = "" if task == "upscale" else f"_{task}"
    return f"_dip{what}" if what and factor == 1 else f"_dip{what}_x{factor:.15g}"


def _mask_of(source: Path, mask: str | None) -> Path | None:
    """Return the mask of a picture: the file given, or that of the picture's name in the folder given."""
    from ..files import find_images

    if mask is None or not Path(mask).is_dir():
        return None if mask is None else Path(mask)
    found = [path for path in find_images([mask]) if path.stem == source.stem]
    if len(found) != 1:
        what = "no picture" if not found else f"{len(found)} pictures"
        raise InputError(f"mask={mask!r} holds {what} named {source.stem!r}, as the picture {str(source)!r} is")
    return found[0]
