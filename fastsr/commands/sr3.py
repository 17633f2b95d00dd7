"""``fastsr sr3``."""

from __future__ import annotations

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

    from ..images import Picture
    from ..sr3.sampling import State


@click.command(cls=Command)
@images_argument
@output_option
@click.option(
    "--weights",
    metavar="FILE|URL|NAME",
    help=f"A checkpoint, or a name of `fastsr weights`; a URL may end in #sha256=DIGITS.  [default: {DEFAULTS['sr3']}]",
)
@click.option(
    "--factor", type=float, help="How many times larger each side becomes.  [default: what the weights are for]"
)
@click.option("--steps", type=int, default=20, show_default=True, help="How often the network is asked.")
@click.option("--sampler", default="dpm-solver++", show_default=True, help="dpm-solver++, ddim or ddpm.")
@click.option(
    "--spacing", help="Where the steps are: log-snr, time or karras.  [default: time for ddpm, log-snr for the others]"
)
@click.option("--samples", type=int, metavar="N", help="Draw N results, as OUT_1 to OUT_N.  [default: one, as OUT]")
@click.option("--mean", is_flag=True, help="Also write the mean of the samples, as OUT_mean.")
@click.option("--spread", is_flag=True, help="Also write how much the samples differ, as OUT_spread.png.")
@click.option("--seed", type=int, default=0, show_default=True, help="Names the random numbers.")
@click.option(
    "--consistency/--no-consistency",
    default=True,
    show_default=True,
    help="Make the result agree with the input: made small by the bicubic kernel, it is the input.",
)
@click.option(
    "--tile",
    type=int,
    help="Largest side of a tile, in pixels of the result.  [default: twice that of the pictures of the training]",
)
@click.option("--device", help="cpu, cuda or cuda:N.  [default: cuda when present]")
@click.option("--dtype", help="float32 or bfloat16.  [default: bfloat16 where the device computes in it]")
@click.option("--compare", is_flag=True, help="Also write bicubic and the results side by side, as OUT_compare.")
@click.option(
    "--process", is_flag=True, help="Also show how the first sample came about, as OUT_process.png and OUT_process.gif."
)
@max_pixels_option
def sr3(
    images: tuple[str, ...],
    output: str | None,
    samples: int | None,
    mean: bool,
    spread: bool,
    compare: bool,
    process: bool,
    max_pixels: int | None,
    **arguments: Any,
) -> None:
    """Upscale pictures with a diffusion model.

    The result is drawn at random: one of many pictures that IN may have been. Its detail is invented. Another seed
    gives another result. The weights that come with fastsr are for aligned faces. Others are a checkpoint by fastsr,
    or I..._E..._gen.pth by the best-known implementation of SR3. No code in the file is run.

    IN is a picture, a folder of pictures or a pattern such as 'photos/*.png'. The result of photo.png is
    photo_sr3_x8.png; with --samples 2 the results are photo_sr3_x8_1.png and photo_sr3_x8_2.png. In folders and
    patterns the results of earlier runs are left out where the picture that they were made of is there too.

    \b
      fastsr sr3 face.png
      fastsr sr3 face.png --samples 8 --mean --spread --weights sr3.safetensors
    """
    from ..codecs import check_size
    from ..domain import warn
    from ..files import plan_outputs
    from ..images import save
    from ..resize import resize
    from ..sheets import sheet_size, side_by_side
    from ..sr3 import sr3 as run
    from ..sr3.arguments import check_options, target_size
    from ..sr3.doubts import doubts_of
    from ..sr3.process import Process

    if (mean or spread) and (samples or 1) < 2:
        raise InputError("--mean and --spread are of several results; give --samples 2 or more")
    options = check_options(samples=samples, **arguments)
    check_kernels(options.device)
    check_kernels("cpu")  # where results are resized
    silent = replace(options.checkpoint, domain=None)  # warnings are to name the file
    arguments |= {"weights": silent, "samples": samples}
    shown = Process() if process else None

    def beside(target: Path) -> list[Path]:
        files = _Files.of(target, samples)
        asked = {files.mean: mean, files.spread: spread, files.comparison: compare}
        asked |= dict.fromkeys((files.strip, files.animation), process)
        return files.results[:-1] + [path for path, wanted in asked.items() if wanted]

    suffix = f"_sr3_x{options.factor:.15g}"
    if samples is not None:  # the last one stands for all
        output, suffix = _numbered(output, samples), f"{suffix}_{samples}"
    plan = plan_outputs(images, output, suffix=suffix, beside=beside)
    titles = ["bicubic", *(["fastsr sr3"] if samples is None else (f"sample {n + 1}" for n in range(samples)))]

    def check(picture: Picture, target: Path) -> None:
        height, width = target_size(picture.pixels, options, "IN")
        files = _Files.of(target, samples)
        for path in (*files.results, files.mean, files.spread):
            check_size(path, width, height)
        if compare:
            check_size(files.comparison, *sheet_size([(title, (width, height)) for title in titles]))
        warn(doubts_of(picture, "IN", options))

    def collect(step: int, image: Tensor, state: State) -> None:
        assert shown is not None
        shown(step, image, replace(state, first=state.first % options.samples))  # the first sample of each picture

    def work(pictures: Iterator[Picture]) -> Iterator[Any]:
        return run(pictures, **arguments, callback=None if shown is None else collect)

    def write(picture: Picture, result: Any, target: Path) -> list[str]:
        files, made = _Files.of(target, samples), [result] if samples is None else list(result)
        for path, one in zip(files.results, made, strict=True):
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
            bicubic = resize(picture, size=tuple(made[0].pixels.shape[-2:]))
            save(side_by_side(list(zip(titles, (bicubic, *made), strict=True))), files.comparison)
            lines.append(str(files.comparison))
        if shown is not None:
            save(shown.strip(), files.strip)
            shown.animation(files.animation)
            lines += [str(files.strip), str(files.animation)]
        return lines

    work_through(plan, max_pixels, check, work, write)


@dataclass(frozen=True)
class _Files:
    """The files of one picture: the result or the samples, and what may be beside them."""

    results: list[Path]
    mean: Path
    spread: Path
    comparison: Path
    strip: Path
    animation: Path

    @classmethod
    def of(cls, target: Path, samples: int | None) -> _Files:
        """Return them for the result `target`, which is the last of several samples."""
        from ..files import comparison_of

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
    """Return the file of the sample `number` where the output is a file."""
    from ..files import names_folder

    if output is None or names_folder(output):
        return output
    return str(Path(output).with_stem(f"{Path(output).stem}_{number}"))
