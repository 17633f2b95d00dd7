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
from ..pretrained import DEFAULTS
from .common import Command, check_kernels, images_argument, max_pixels_option, output_option, work_through

if TYPE_CHECKING:
    from torch import Tensor

    from ..align import Face
    from ..images import Picture
    from ..pulse.arguments import Options
    from .pulse_jobs import Job, Result

LARGEST_FACE, LEAST_FACTOR = 32, 8
"""The side that an aligned face gets, at most, and how many times it is to become larger, at least."""


@click.command(cls=Command)
@images_argument
@output_option
@click.option(
    "--weights",
    metavar="FILE|DIR|URL|NAME",
    help=f"A StyleGAN, or a name of `fastsr weights`; a URL may end in #sha256=DIGITS.  [default: {DEFAULTS['pulse']}]",
)
@click.option(
    "--factor", type=float, help="How many times larger each side becomes.  [default: up to what the weights make]"
)
@click.option("--steps", type=int, default=100, show_default=True, help="Steps of the search, at most.")
@click.option(
    "--eps",
    type=float,
    default=2e-3,
    show_default=True,
    help="The mean squared error between IN and the result made small at which the search ends.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Names the random numbers.")
@click.option(
    "--restarts", type=int, default=1, show_default=True, help="Searches for each picture; the best one is the result."
)
@click.option(
    "--duplicates", type=click.IntRange(min=1), default=1, show_default=True, help="Results of each, as OUT_1 to OUT_N."
)
@click.option("--batch-size", "batch", type=int, help="Pictures at once, at most.  [default: what fits into memory]")
@click.option("--optimizer", default="adam", show_default=True, help="adam, adamw, adamax or sgd.")
@click.option("--learning-rate", type=float, default=0.4, show_default=True, help="The largest one.")
@click.option(
    "--schedule", default="linear1cycledrop", show_default=True, help="linear1cycledrop, linear1cycle or fixed."
)
@click.option(
    "--loss", default="100*L2+0.05*GEOCROSS", show_default=True, help="A sum of L2, L1 and GEOCROSS with weights."
)
@click.option("--noise", default="trainable", show_default=True, help="Noise maps: trainable, fixed or zero.")
@click.option(
    "--trainable-noise", type=int, default=5, show_default=True, help="How many noise maps are searched, at most."
)
@click.option("--tile-latent", is_flag=True, help="Search one latent row for all layers.")
@click.option(
    "--consistency/--no-consistency",
    default=False,
    show_default=True,
    help="Make the result agree with the input: made small by the bicubic kernel, it is the input.",
)
@click.option(
    "--save-intermediate",
    "every",
    type=click.IntRange(min=1),
    metavar="K",
    help="Also write the best face after every K steps, and the same made small, into the folder OUT_steps.",
)
@click.option(
    "--align",
    is_flag=True,
    help="Find the faces in ordinary photos; the results are OUT_face1 and so on. It needs OpenCV, and "
    "the first time a connection, or the detector's file in its place, which the error names.",
)
@click.option(
    "--side", type=int, help="With --align: the side that a face is reduced to.  [default: 32, or an 8th of the result]"
)
@click.option(
    "--paste",
    type=float,
    metavar="FACTOR",
    help="With --align: also write the photo, enlarged so many times, with the faces in it, as OUT_pasted.",
)
@click.option("--device", help="cpu, cuda or cuda:N.  [default: cuda when present]")
@click.option("--dtype", help="float32 or bfloat16.  [default: bfloat16 where the device computes in it]")
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
    """Search for a face that IN may be the reduced picture of.

    The face is invented: a plausible one, out of very many that look the same when they are made small. It identifies
    nobody. The weights that come with fastsr make 64x64 pixels. Others are a StyleGAN by `fastsr train stylegan` or
    lernapparat, or the folder with synthesis.pt and mapping.pt of PULSE. No code in the file is run.

    IN is a small picture of an aligned face, a folder of them or a pattern such as 'faces/*.png'; with --align it is
    an ordinary photo. The result of face.png is face_pulse_64x64.png; with --duplicates 2 the results are
    face_pulse_64x64_1.png and face_pulse_64x64_2.png. Pictures of one size are searched for together, those of
    the smallest size first. In folders and patterns the results of earlier runs are left out where the picture that
    they were made of is there too.

    \b
      fastsr pulse face.png --restarts 4
      fastsr pulse party.jpg --align --paste 4 --weights stylegan.safetensors
    """
    from ..align.detector import yunet
    from ..codecs import check_size
    from ..device import resolve_seed
    from ..domain import warn
    from ..files import plan_outputs
    from ..images import save
    from ..pulse.arguments import check_options
    from ..pulse.doubts import doubts_of
    from ..pulse.placing import fitted
    from .pulse_jobs import Searches

    options = check_options(**arguments)
    resolution = options.checkpoint.network.resolution
    _check_align(align, side, paste, options)
    check_kernels(options.device)
    check_kernels("cpu")  # where results are resized
    if align:
        yunet()  # or it says what is missing
    options = replace(options, checkpoint=fitted(options.checkpoint, options.device))
    seeds = [options.seed + number * options.restarts for number in range(duplicates)]
    resolve_seed(seeds[-1] + options.restarts - 1)
    names = _Names(align, duplicates)
    suffix = f"_pulse_{resolution}x{resolution}"
    plan = plan_outputs(
        images, output, suffix=suffix, beside=lambda target: names.others(target, pasted=paste is not None)
    )
    targets: deque[Path] = deque()  # of the pictures read last
    reached: list[bool] = []

    def check(picture: Picture, target: Path) -> None:
        height, width = picture.pixels.shape[-2:]
        if not align:
            warn(doubts_of(picture, "IN", options))
        elif paste is not None:
            check_size(target, math.ceil(paste * width), math.ceil(paste * height))
        check_size(target, resolution, resolution)
        targets.append(target)  # last: a picture that is refused is not searched for

    def cut(picture: Picture) -> tuple[list[Face], list[Picture]]:
        return _faces(picture, side, options) if align else ([], [picture])

    def watch(job: Job, which: int, number: int, step: int, image: Tensor) -> None:
        if every is not None and step % every == 0:
            _save_step(image, job.inputs[which], names.result(job.target, which, number), step)

    def work(pictures: Iterator[Picture]) -> Iterator[Job]:
        return searches((picture, targets.popleft()) for picture in pictures)

    def write(picture: Picture, job: Job, target: Path) -> list[str]:
        lines = []
        for which, results in enumerate(job.results):
            if align:
                warn(doubts_of(job.inputs[which], f"face {which + 1}", options, aligned=True))
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
    """What files are called after the result of a picture: which face, and the number of a duplicate."""

    align: bool
    duplicates: int

    def result(self, target: Path, which: int, number: int) -> Path:
        return self._numbered(target, f"_face{which + 1}" if self.align else "", number)

    def pasted(self, target: Path, number: int) -> Path:
        return self._numbered(target, "_pasted", number)

    def others(self, target: Path, *, pasted: bool) -> list[Path]:
        """Return what is known to be written beside `target` before the faces are found."""
        numbers = range(self.duplicates)
        found = [self.result(target, 0, number) for number in numbers]
        found += [self.pasted(target, number) for number in numbers if pasted]
        return [path for path in found if path != target]

    def _numbered(self, target: Path, what: str, number: int) -> Path:
        return target.with_stem(f"{target.stem}{what}{f'_{number + 1}' if self.duplicates > 1 else ''}")


def _check_align(align: bool, side: int | None, paste: float | None, options: Options) -> None:
    """Check what goes with --align."""
    import torch

    from ..pulse.arguments import check_size

    for name, value in (("--side", side), ("--paste", paste)):
        if value is not None and not align:
            raise InputError(f"{name} {value:g} is for faces in photos; give --align too")
    if paste is not None and not 0 < paste < math.inf:
        raise InputError(f"--paste {paste:g} cannot be used; give how many times larger the photo is to be, such as 4")
    if side is not None:
        if side < 1:
            raise InputError(f"--side {side} leaves nothing of a face; give pixels, such as {LARGEST_FACE}")
        check_size(torch.empty(1, 1, side, side), options, f"a face with --side {side}")


def _by_size(plan: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Bring pictures of one size and mode together, for they can be searched for in one batch."""
    from PIL import Image

    def order(entry: tuple[Path, Path]) -> tuple[tuple[int, int], str]:
        try:
            with Image.open(entry[0]) as image:
                return image.size, image.mode
        except Exception:  # reading it says what is wrong
            return (0, 0), ""

    return sorted(plan, key=order)


def _faces(picture: Picture, side: int | None, options: Options) -> tuple[list[Face], list[Picture]]:
    """Return the faces in a photo, and each as the picture to search for."""
    from ..align import align, find_faces

    resolution, factor = options.checkpoint.network.resolution, options.factor
    faces = find_faces(picture)
    if side is None and factor is not None:
        side = round(resolution / factor)
    most = min(LARGEST_FACE, resolution // LEAST_FACTOR)
    sides = [max(min(most, int(face.square.side)), 1) if side is None else side for face in faces]
    return faces, [align(picture, face, its) for face, its in zip(faces, sides, strict=True)]


def _pasted(job: Job, factor: float, duplicates: int) -> Iterator[Picture]:
    """Yield the photo, enlarged, with the faces in it, for each duplicate."""
    from ..align import paste
    from ..images import read
    from ..resize import resize

    large = resize(read(job.picture), factor)
    for number in range(duplicates):
        photo = large
        for face, results in zip(job.faces, job.results, strict=True):
            photo = paste(photo, face.scaled(factor), results[number].found.result)
        yield photo


def _save_step(image: Tensor, given: Picture, result: Path, step: int) -> None:
    """Write a face, (C, H, W), and the same made as small as the picture given, to the folder of a result."""
    from ..files import prepare_folder
    from ..images import read, save
    from ..imresize import imresize
    from ..pulse.call import NOTE

    face = replace(read(image.cpu()), comment=NOTE)
    small = imresize(face.pixels, size=tuple(given.pixels.shape[-2:])).clamp(0, 1)
    for name, picture in (("HR", face), ("LR", replace(face, pixels=small))):
        folder = result.with_name(f"{result.stem}_steps") / name
        prepare_folder(folder)
        save(picture, folder / f"{step:05}.png")


def _report(result: Result, options: Options) -> str:
    """Say how a search went."""
    face, settings = result.found.faces[0], options.settings
    at = f"mean squared error {face.l2:.3g} in step {face.step}, {result.seconds:.1f} s"
    return f"eps {settings.eps:g} {'reached' if face.reached else f'not reached in {settings.steps} steps'}, {at}"
