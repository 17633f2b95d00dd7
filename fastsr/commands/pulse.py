"""``fastsr pulse``."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError
from ..options import command_options
from ..pulse.options import PulseOptions
from .common import Command, check_kernels, images_argument, max_pixels_option, output_option, work_through

if TYPE_CHECKING:
    from torch import Tensor

    from ..align import Face
    from ..errors import Doubt
    from ..images import Picture
    from ..pulse.arguments import Options
    from .pulse_jobs import Job, Result

LARGEST_FACE, LEAST_FACTOR = 32, 8
"""Maximum side of an aligned face, and minimum factor by which it is upscaled."""


@click.command(cls=Command, params=[images_argument(), output_option(), *command_options(PulseOptions)])
@click.option(
    "--duplicates",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of results for each image, from different seeds, written as OUT_1 to OUT_N.",
)
@click.option(
    "--save-intermediate",
    "every",
    type=click.IntRange(min=1),
    metavar="K",
    help="Also write the best face after every K steps, and its downscale, to the folder OUT_steps.",
)
@click.option(
    "--align",
    is_flag=True,
    help="Find the faces in ordinary photos; the results are OUT_face1 and so on. Requires OpenCV. The detector is "
    "downloaded on first use; without a connection, copy its file to the path given in the error message.",
)
@click.option(
    "--side",
    type=int,
    help="With --align: side to which a face is downscaled.  [default: 32, or an eighth of the result's]",
)
@click.option(
    "--paste",
    type=float,
    metavar="FACTOR",
    help="With --align: also write the photo upscaled by FACTOR, with the faces pasted in, as OUT_pasted.",
)
@max_pixels_option
def pulse(
    images: tuple[str, ...],
    output: str | None,
    duplicates: int,
    every: int | None,
    align: bool,
    side: int | None,
    paste: float | None,
    max_pixels: int | None,
    **arguments: Any,
) -> None:
    """Find a synthetic face that matches a low-resolution input.

    The face is invented: it is one of very many that look the same when downscaled. It identifies nobody. The bundled
    weights make faces of 64x64 pixels. Other weights are a StyleGAN of `fastsr train stylegan` or lernapparat, or the
    folder with synthesis.pt and mapping.pt of PULSE. Loading never runs code from the file.

    IN is a small image of an aligned face, a folder of such images or a quoted pattern such as 'faces/*.png'; with
    --align it is an ordinary photo. The result for face.png is face_pulse_64x64.png; with --duplicates 2 the results
    are face_pulse_64x64_1.png and face_pulse_64x64_2.png. Images of one size are searched for together, smallest
    first. Results of earlier runs in a folder or pattern are skipped if their source image is also present.

    \b
      fastsr pulse face.png --restarts 4
      fastsr pulse party.jpg --align --paste 4 --weights stylegan.safetensors
    """
    from ..align.detection import yunet
    from ..images import save
    from ..io.codecs import check_size
    from ..io.image_paths import plan_outputs
    from ..pulse.arguments import check_options, domain_mismatches
    from ..pulse.inference import with_gaussian_fit
    from ..runtime.device import resolve_seed
    from .pulse_jobs import Searches

    options = check_options(PulseOptions(**arguments))
    resolution = options.checkpoint.network.resolution
    _check_align(align, side, paste, options)
    check_kernels(options.device)
    check_kernels("cpu")  # where results are resized
    if align:
        yunet()  # raises an error if something is missing
    options = replace(options, checkpoint=with_gaussian_fit(options.checkpoint, options.device))
    seeds = [options.seed + number * options.restarts for number in range(duplicates)]
    resolve_seed(seeds[-1] + options.restarts - 1)
    names = _Names(align, duplicates)
    suffix = f"_pulse_{resolution}x{resolution}"
    plan = plan_outputs(
        images, output, suffix=suffix, beside=lambda target: names.others(target, pasted=paste is not None)
    )
    targets: deque[Path] = deque()  # of the images that were read last
    reached: list[bool] = []

    def check(picture: Picture, target: Path) -> list[Doubt]:
        height, width = picture.pixels.shape[-2:]
        doubts = [] if align else domain_mismatches(picture, "IN", options)
        if paste is not None:
            check_size(target, math.ceil(paste * width), math.ceil(paste * height))
        check_size(target, resolution, resolution)
        targets.append(target)  # last: an image that is refused is not searched for
        return doubts

    def cut(picture: Picture) -> tuple[list[Face], list[Picture]]:
        return _faces(picture, side, options) if align else ([], [picture])

    def watch(job: Job, which: int, number: int, step: int, image: Tensor) -> None:
        if every is not None and step % every == 0:
            _save_step(image, job.inputs[which], names.result(job.target, which, number), step)

    def work(pictures: Iterator[Picture]) -> Iterator[Job]:
        return searches((picture, targets.popleft()) for picture in pictures)

    def write(picture: Picture, job: Job, target: Path) -> list[str | Doubt]:
        lines: list[str | Doubt] = []
        for which, results in enumerate(job.results):
            if align:
                lines += domain_mismatches(job.inputs[which], f"face {which + 1}", options, aligned=True)
            for number, result in enumerate(results):
                path = names.result(target, which, number)
                save(result.found.result, path)
                reached.append(result.found.faces[0].reached)
                lines.append(f"{path}: {_report(result, options)}")
        if paste is not None:
            for number, photo in enumerate(_pasted(job, paste, duplicates)):
                save(photo, names.pasted(target, number))
                lines.append(str(names.pasted(target, number)))
        return lines

    total = None if align else len(plan)
    searches = Searches(options, seeds, cut, None if every is None else watch, total)
    try:
        work_through(_by_size(plan) if not align else plan, max_pixels, check, work, write)
    finally:
        if len(reached) > 1:
            click.echo(f"eps {options.settings.eps:g} was reached for {sum(reached)} of {len(reached)}.")


@dataclass(frozen=True)
class _Names:
    """Names of the files of an image, made from that of its result, the face, and the number of a duplicate."""

    align: bool
    duplicates: int

    def result(self, target: Path, which: int, number: int) -> Path:
        return self._numbered(target, f"_face{which + 1}" if self.align else "", number)

    def pasted(self, target: Path, number: int) -> Path:
        return self._numbered(target, "_pasted", number)

    def others(self, target: Path, *, pasted: bool) -> list[Path]:
        """Return the files beside `target` whose names are known before the faces are found."""
        numbers = range(self.duplicates)
        found = [self.result(target, 0, number) for number in numbers]
        found += [self.pasted(target, number) for number in numbers if pasted]
        return [path for path in found if path != target]

    def _numbered(self, target: Path, what: str, number: int) -> Path:
        return target.with_stem(f"{target.stem}{what}{f'_{number + 1}' if self.duplicates > 1 else ''}")


def _check_align(align: bool, side: int | None, paste: float | None, options: Options) -> None:
    """Check the options that need --align."""
    import torch

    from ..pulse.arguments import check_size

    for name, value in (("--side", side), ("--paste", paste)):
        if value is not None and not align:
            raise InputError(f"{name} {value:g} needs --align, which finds faces in photos; give --align too")
    if paste is not None and not 0 < paste < math.inf:
        raise InputError(f"--paste {paste:g} cannot be used; give the factor by which to upscale the photo, such as 4")
    if side is not None:
        if side < 1:
            raise InputError(f"--side {side} leaves nothing of a face; give a number of pixels, such as {LARGEST_FACE}")
        check_size(torch.empty(1, 1, side, side), options, f"a face with --side {side}")


def _by_size(plan: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Sort images by size and mode, so that those of one size are searched for in one batch."""
    from PIL import Image

    def order(entry: tuple[Path, Path]) -> tuple[tuple[int, int], str]:
        try:
            with Image.open(entry[0]) as image:
                return image.size, image.mode
        except Exception:  # its error comes when it is read
            return (0, 0), ""

    return sorted(plan, key=order)


def _faces(picture: Picture, side: int | None, options: Options) -> tuple[list[Face], list[Picture]]:
    """Return the faces in a photo, and the aligned image of each."""
    from ..align import align, find_faces

    resolution, factor = options.checkpoint.network.resolution, options.factor
    faces = find_faces(picture)
    if side is None and factor is not None:
        side = round(resolution / factor)
    most = min(LARGEST_FACE, resolution // LEAST_FACTOR)
    sides = [max(min(most, int(face.square.side)), 1) if side is None else side for face in faces]
    return faces, [align(picture, face, length) for face, length in zip(faces, sides, strict=True)]


def _pasted(job: Job, factor: float, duplicates: int) -> Iterator[Picture]:
    """Yield the photo, upscaled, with the faces pasted in, for each duplicate."""
    from ..align import paste
    from ..images import read
    from ..images.resizing import resize

    large = resize(read(job.picture), factor)
    for number in range(duplicates):
        photo = large
        for face, results in zip(job.faces, job.results, strict=True):
            photo = paste(photo, face.scaled(factor), results[number].found.result)
        yield photo


def _save_step(image: Tensor, given: Picture, result: Path, step: int) -> None:
    """Write a face, (C, H, W), and its downscale to the size of the input, to the steps folder of a result."""
    from ..images import read, save
    from ..imresize import imresize
    from ..io.files import prepare_folder
    from ..pulse.runner import NOTE

    face = replace(read(image.cpu()), comment=NOTE)
    small = imresize(face.pixels, size=tuple(given.pixels.shape[-2:])).clamp(0, 1)
    for name, picture in (("HR", face), ("LR", replace(face, pixels=small))):
        folder = result.with_name(f"{result.stem}_steps") / name
        prepare_folder(folder)
        save(picture, folder / f"{step:05}.png")


def _report(result: Result, options: Options) -> str:
    """Return a line that tells how a search ended."""
    face, settings = result.found.faces[0], options.settings
    at = f"mean squared error {face.l2:.3g} in step {face.step}, {result.seconds:.1f} s"
    return f"eps {settings.eps:g} {'reached' if face.reached else f'not reached in {settings.steps} steps'}, {at}"
