"""``fastsr sr3``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError
from ..options import command_options
from ..sr3.options import SR3Options
from .common import Command, check_kernels, images_argument, max_pixels_option, output_option, work_through

if TYPE_CHECKING:
    from torch import Tensor

    from ..errors import Doubt
    from ..images import Picture
    from ..sr3.sampling import State


@click.command(cls=Command, params=[images_argument(), output_option(), *command_options(SR3Options)])
@click.option("--mean", is_flag=True, help="Also write the mean of the samples, as OUT_mean.")
@click.option("--spread", is_flag=True, help="Also write the standard deviation of the samples, as OUT_spread.png.")
@click.option("--compare", is_flag=True, help="Also write bicubic and the results side by side, as OUT_compare.")
@click.option(
    "--process", is_flag=True, help="Also write the steps of the first sample, as OUT_process.png and OUT_process.gif."
)
@max_pixels_option
def sr3(
    images: tuple[str, ...],
    output: str | None,
    mean: bool,
    spread: bool,
    compare: bool,
    process: bool,
    max_pixels: int | None,
    **arguments: Any,
) -> None:
    """Upscale images with a diffusion model.

    The result is drawn at random: one of many plausible high-resolution versions of IN. Its detail is invented, and
    another seed gives another result. The bundled weights are for aligned faces. Other weights are a checkpoint of
    fastsr, or I..._E..._gen.pth of the best-known implementation of SR3. Loading never runs code from the file.

    IN is an image, a folder of images or a quoted pattern such as 'photos/*.png'. The result for photo.png is
    photo_sr3_x8.png; with --samples 2 the results are photo_sr3_x8_1.png and photo_sr3_x8_2.png. Results of earlier
    runs in a folder or pattern are skipped if their source image is also present.

    \b
      fastsr sr3 face.png
      fastsr sr3 face.png --samples 8 --mean --spread --weights sr3.safetensors
    """
    from ..figures.sheets import sheet_size, side_by_side
    from ..images import save
    from ..images.resizing import resize
    from ..io.codecs import check_size
    from ..io.image_paths import plan_outputs
    from ..sr3 import sr3 as run
    from ..sr3.arguments import check_options, domain_mismatches, target_size
    from ..sr3.process import Process

    samples = arguments["samples"]
    if (mean or spread) and (samples or 1) < 2:
        raise InputError("--mean and --spread need several results; give --samples 2 or more")
    options = check_options(SR3Options(**arguments))
    check_kernels(options.device)
    check_kernels("cpu")  # where results are resized
    arguments["weights"] = replace(options.checkpoint, domain=None)  # warned of below, by the name of the file
    shown = Process() if process else None

    def beside(target: Path) -> list[Path]:
        files = _Files.of(target, samples)
        extra = {files.mean: mean, files.spread: spread, files.comparison: compare}
        extra |= dict.fromkeys((files.strip, files.animation), process)
        return files.results[:-1] + [path for path, wanted in extra.items() if wanted]

    suffix = f"_sr3_x{options.factor:.15g}"
    if samples is not None:  # the last one stands for all
        output, suffix = _numbered(output, samples), f"{suffix}_{samples}"
    plan = plan_outputs(images, output, suffix=suffix, beside=beside)
    titles = ["bicubic", *(["fastsr sr3"] if samples is None else (f"sample {n + 1}" for n in range(samples)))]

    def check(picture: Picture, target: Path) -> list[Doubt]:
        height, width = target_size(picture.pixels, options, "IN")
        files = _Files.of(target, samples)
        for path in (*files.results, files.mean, files.spread):
            check_size(path, width, height)
        if compare:
            check_size(files.comparison, *sheet_size([(title, (width, height)) for title in titles]))
        return domain_mismatches(picture, "IN", options)

    def collect(step: int, image: Tensor, state: State) -> None:
        assert shown is not None
        shown(step, image, replace(state, first=state.first % options.samples))  # the first sample of each image

    def work(pictures: Iterator[Picture]) -> Iterator[Any]:
        return run(pictures, **arguments, callback=None if shown is None else collect)

    def write(picture: Picture, result: Any, target: Path) -> list[str]:
        files, results = _Files.of(target, samples), [result] if samples is None else list(result)
        for path, one in zip(files.results, results, strict=True):
            save(one, path)
        lines = [str(path) for path in files.results]
        if mean:
            save(result.mean, files.mean)
            lines.append(str(files.mean))
        if spread:
            white = float(result.spread.max()) or 1.0
            save(result.spread / white, files.spread)
            lines.append(f"{files.spread}: white is a standard deviation of {255 * white:.1f} of 255")
        if compare:
            bicubic = resize(picture, size=tuple(results[0].pixels.shape[-2:]))
            save(side_by_side(list(zip(titles, (bicubic, *results), strict=True))), files.comparison)
            lines.append(str(files.comparison))
        if shown is not None:
            save(shown.strip(), files.strip)
            shown.animation(files.animation)
            lines += [str(files.strip), str(files.animation)]
        return lines

    work_through(plan, max_pixels, check, work, write)


@dataclass(frozen=True)
class _Files:
    """The files of one image: the result or the samples, and those that options add."""

    results: list[Path]
    mean: Path
    spread: Path
    comparison: Path
    strip: Path
    animation: Path

    @classmethod
    def of(cls, target: Path, samples: int | None) -> _Files:
        """Return the files for the result `target`, which is the last of several samples."""
        from ..io.image_paths import comparison_of

        whole = target if samples is None else target.with_stem(target.stem.removesuffix(f"_{samples}"))

        def named(what: object) -> Path:
            return whole.with_stem(f"{whole.stem}_{what}")

        return cls(
            [target] if samples is None else [named(number) for number in range(1, samples + 1)],
            named("mean"),
            named("spread").with_suffix(".png"),
            comparison_of(whole),
            named("process").with_suffix(".png"),
            named("process").with_suffix(".gif"),
        )


def _numbered(output: str | None, number: int) -> str | None:
    """Return the output of the sample `number`, if the output is a file; else the output itself."""
    from ..io.image_paths import names_folder

    if output is None or names_folder(output):
        return output
    return str(Path(output).with_stem(f"{Path(output).stem}_{number}"))
