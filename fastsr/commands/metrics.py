"""``fastsr metrics``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import click

from ..checks import input_error
from ..errors import FastsrError, InputError
from .common import EXIT_BAD_INPUT, Command, check_kernels, complain, max_pixels_option, renamed

if TYPE_CHECKING:
    from ..images import Picture

GREY = "grey"
COLUMN_WIDTH = 9
MEAN = "mean"


@click.command(cls=Command)
@click.argument("a")
@click.argument("b", required=False)
@click.option(
    "--channel", type=click.Choice(["y", "rgb"]), default="y", show_default=True, help="Compare luma Y, or R, G and B."
)
@click.option("--shave", type=int, default=0, show_default=True, help="Crop this many pixels at each border.")
@click.option(
    "--protocol",
    type=click.Choice(["rgb8", "matlab8", "float"]),
    default="rgb8",
    show_default=True,
    help="Rounding of pixels before they are compared; float does not round.",
)
@click.option("--niqe", is_flag=True, help="Also print NIQE of A, which needs no B; lower is better.")
@click.option(
    "--niqe-channel",
    type=click.Choice([GREY, "y"]),
    default=GREY,
    show_default=True,
    help="Score grey, as the authors of NIQE do, or luma Y.",
)
@click.option("--niqe-model", metavar="FILE", help="A model of fastsr niqe-fit.  [default: the NIQE authors' model]")
@max_pixels_option
def metrics(
    a: str,
    b: str | None,
    niqe: bool,
    niqe_channel: str,
    niqe_model: str | None,
    max_pixels: int | None,
    **options: Any,
) -> None:
    """Print PSNR and SSIM of A against B, or NIQE of A.

    A and B are images, or folders with images of the same names, where photo_dip_x4.png in A matches photo.png in B.
    For folders, a table with a row for each image and the mean is printed.

    \b
      fastsr metrics large.png original.png
      fastsr metrics large.png --niqe
      fastsr metrics results/ originals/ --niqe --shave 4
    """
    from ..images import read
    from ..io.files import is_folder

    if not niqe and (niqe_model is not None or niqe_channel != GREY):
        raise InputError("--niqe-model and --niqe-channel need --niqe; give it too")
    scores = _against_reference(options) if b is not None else []
    if niqe:
        scores.append(_niqe(niqe_channel, niqe_model, options["shave"]))
    if not scores:
        raise InputError("B is missing, but PSNR and SSIM compare A with it; give B, or --niqe")

    def evaluate(path: str | Path, reference: str | Path | None) -> list[float]:
        picture = read(path, "A", max_pixels=max_pixels)
        other = None if reference is None else read(reference, "B", max_pixels=max_pixels)
        return [score.of(picture, other) for score in scores]

    if is_folder(Path(a), f"A {a!r}"):
        if not _print_table(_pairs(a, b), scores, evaluate):
            click.get_current_context().exit(EXIT_BAD_INPUT)
        return
    for score, value in zip(scores, evaluate(a, b), strict=True):
        click.echo(f"{score.name} {score.text(value)}{score.unit}")


@dataclass(frozen=True)
class _Score:
    """A score of an image, with or without a reference, and how it is printed."""

    name: str
    digits: int
    unit: str
    of: Callable[[Picture, Picture | None], Any]

    def text(self, value: float) -> str:
        return f"{value:.{self.digits}f}"


def _against_reference(options: dict[str, Any]) -> list[_Score]:
    from ..metrics import psnr, ssim

    def scored_by(measure: Callable[..., Any]) -> Callable[[Picture, Picture | None], Any]:
        return lambda image, reference: measure(image, reference, **options)

    return [_Score("PSNR", 3, " dB", scored_by(psnr)), _Score("SSIM", 4, "", scored_by(ssim))]


def _niqe(channel: Any, model: str | None, shave: int) -> _Score:
    from ..metrics.niqe_model import load
    from ..metrics.niqe_score import column, niqe

    check_kernels("cpu")
    with renamed(model="niqe_model"):
        pristine = load(model)

    def of(picture: Picture, _: Picture | None) -> Any:
        with renamed(channel="niqe_channel"):
            return niqe(picture, channel=channel, shave=shave, model=pristine)

    return _Score(column(pristine, channel), 4, "", of)


def _pairs(a: str, b: str | None) -> list[tuple[Path, Path | None]]:
    """Return the images of the folder A, each with its reference in the folder B, if there is B."""
    from ..io.image_paths import RESULT_STEM, find_images

    paths = find_images([a])
    if b is None:
        return [(path, None) for path in paths]
    references = {key: path for path in find_images([b]) for key in (path.name, path.stem)}
    pairs: list[tuple[Path, Path | None]] = []
    for path in paths:
        result = RESULT_STEM.fullmatch(path.stem)
        names = (path.name, path.stem, result["source"] if result else path.stem)
        reference = next((references[name] for name in names if name in references), None)
        if reference is None:
            raise InputError(f"A has {path.name!r}, but B {b!r} has no image of that name to compare it with")
        pairs.append((path, reference))
    return pairs


def _print_table(
    pairs: Sequence[tuple[Path, Path | None]],
    scores: Sequence[_Score],
    evaluate: Callable[[Path, Path | None], list[float]],
) -> bool:
    """Print a row for each image, and the mean; return whether all could be scored."""
    first = max(map(len, (MEAN, *(path.name for path, _ in pairs))))
    widths = [max(COLUMN_WIDTH, len(score.name)) for score in scores]

    def show(name: str, texts: Sequence[str]) -> None:
        columns = (f"  {text:>{width}}" for text, width in zip(texts, widths, strict=True))
        click.echo(name.ljust(first) + "".join(columns))

    def numbers(values: Sequence[float]) -> list[str]:
        return [score.text(value) for score, value in zip(scores, values, strict=True)]

    show("", [score.name for score in scores])
    rows = []
    for path, reference in pairs:
        try:
            rows.append(evaluate(path, reference))
        except FastsrError as error:
            complain(error, path)
        else:
            show(path.name, numbers(rows[-1]))
    if rows:
        means = [fmean(values) for values in zip(*rows, strict=True)]
        show(MEAN if len(rows) == len(pairs) else f"{MEAN} of {len(rows)}", numbers(means))
    return len(rows) == len(pairs)


@click.command("niqe-fit", cls=Command)
@click.argument("folder", metavar="DIR")
@click.option("-o", "--output", required=True, metavar="FILE", help="Output file of the model, .safetensors.")
@max_pixels_option
def niqe_fit(folder: str, output: str, max_pixels: int | None) -> None:
    """Fit a NIQE model to the photographs in a folder.

    Scores by this model can be compared with each other, but not with scores by the NIQE authors' model. Therefore
    fastsr metrics --niqe --niqe-model FILE prints the name of the model with each score.
    """
    from ..io.files import prepare_folder
    from ..io.image_paths import find_images
    from ..metrics.niqe_model import fit, save

    target = Path(output)
    if target.suffix.lower() != ".safetensors":  # before the fit, after which `save` would raise it
        raise input_error("output", output, "does not end in .safetensors", "give such a name")
    check_kernels("cpu")
    paths = find_images([folder])
    prepare_folder(target.parent)
    model = fit(paths, name=target.name, source=Path(folder).resolve().name, max_pixels=max_pixels)
    save(model, target)
    click.echo(model)
