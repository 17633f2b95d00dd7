"""``fastsr dip``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..checks import input_error, spell
from ..dip.options import DipOptions
from ..options import command_options
from .common import Command, check_kernels, images_argument, max_pixels_option, output_option, work_through

if TYPE_CHECKING:
    from ..errors import Doubt
    from ..images import Picture


@click.command(cls=Command, params=[images_argument(), output_option(), *command_options(DipOptions)])
@click.option("--compare", is_flag=True, help="Also write input and result side by side, as OUT_compare.")
@max_pixels_option
def dip(images: tuple[str, ...], output: str | None, compare: bool, max_pixels: int | None, **arguments: Any) -> None:
    """Upscale or restore images with Deep Image Prior.

    An untrained network is fitted to each image: no training data, no weights.

    IN is an image, a folder of images or a quoted pattern such as 'photos/*.png'. The result for photo.png is
    photo_dip_x4.png, or photo_dip_denoise.png. Results of earlier runs in a folder or pattern are skipped if their
    source image is also present. Ctrl-C writes the result so far.

    \b
      fastsr dip photo.png --factor 8
      fastsr dip noisy.png --task denoise
      fastsr dip old.png --task inpaint --mask scratches.png
    """
    from ..dip import dip as fit
    from ..dip.arguments import check_options, target_size
    from ..dip.runner import estimate_resources
    from ..dip.tasks import read_mask
    from ..figures.sheets import sheet_size, side_by_side
    from ..images import save
    from ..images.resizing import resize
    from ..io.codecs import check_size
    from ..io.files import is_folder
    from ..io.image_paths import comparison_of, plan_outputs

    options = check_options(DipOptions(**arguments))
    mask = arguments.pop("mask")
    check_kernels(options.device)
    titles = ("input" if options.factor == 1 else "bicubic", "fastsr dip")
    if compare:
        check_kernels("cpu")
    plan = plan_outputs(images, output, suffix=_suffix(options.task, options.factor), compare=compare)
    if mask is not None and not is_folder(Path(mask), spell("mask", mask)):
        plan = [(source, target) for source, target in plan if not source.samefile(mask)]  # a mask in the folder
    masks = {target: _mask_of(source, mask) for source, target in plan}
    used_next: deque[Path | None] = deque()
    """The masks of the images that were read and are not fitted yet."""

    def check(picture: Picture, target: Path) -> list[Doubt]:
        if picture.alpha is not None:
            check_kernels("cpu")  # where alpha is resized
        small = (picture.pixels.shape[-2], picture.pixels.shape[-1])
        found = masks[target]
        known = None if found is None else read_mask(found, small, f"mask={str(found)!r}", "IN")
        height, width = target_size(picture.pixels, options.factor, "IN")
        check_size(target, width, height)
        if compare:
            check_size(comparison_of(target), *sheet_size([(title, (width, height)) for title in titles]))
        estimate_resources(picture.pixels, known, options, "IN")
        used_next.append(found)  # last: an image that is refused uses no mask
        return []

    def work(pictures: Iterator[Picture]) -> Iterator[Any]:
        used = None if mask is None else (used_next.popleft() for _ in repeat(None))
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
    """Return the end of the name of a result: _dip_x4, _dip_denoise, _dip_denoise_x2."""
    what = "" if task == "upscale" else f"_{task}"
    return f"_dip{what}" if what and factor == 1 else f"_dip{what}_x{factor:.15g}"


def _mask_of(source: Path, mask: str | None) -> Path | None:
    """Return the mask of an image: the file `mask`, or the one named as the image in the folder `mask`."""
    from ..io.image_paths import find_images

    if mask is None or not Path(mask).is_dir():
        return None if mask is None else Path(mask)
    found = [path for path in find_images([mask]) if path.stem == source.stem]
    if len(found) != 1:
        count = "no image" if not found else f"{len(found)} images"
        raise input_error(
            "mask", mask, f"has {count} named {source.stem!r}", f"it needs one for the image {str(source)!r}"
        )
    return found[0]
