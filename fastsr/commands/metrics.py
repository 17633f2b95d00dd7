"""``fastsr metrics``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import click

from ..errors import FastsrError, InputError
from .common import EXIT_BAD_INPUT, Command, check_kernels, complain, max_pixels_option
from .words import renamed

if TYPE_CHECKING:
    from ..images import Picture

GREY = "grey"
COLUMN_WIDTH = 9
MEAN = "mean"


@click.command(cls=Command)
@click.argument("a")
@click.argument("b", required=False)
@click.option("--channel", default="y", show_default=True, help="y for luma, or rgb.")
@click.option("--shave", type=int, default=0, show_default=True, help="Pixels to leave out at each side.")
@click.option(
    "--protocol",
    default="rgb8",
    show_default=True,
    help="How pixels are rounded: rgb8, matlab8, or float for not at all.",
)
@click.option("--niqe", is_flag=True, help="Also NIQE of A, which needs no B; lower is better.")
@click.option("--niqe-channel", default=GREY, show_default=True, help="grey as NIQE's authors, or y for luma.")
@click.option("--niqe-model", metavar="FILE", help="A model of fastsr niqe-fit.  [default: that of NIQE's authors]")
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

    Both are pictures. A may also be a folder; B is then one with pictures of the same names. photo_dip_x4.png in A
    goes with photo.png in B. A table has one row a picture, and the mean.

    \b
      fastsr metrics large.png original.png
      fastsr metrics large.png --niqe
      fastsr metrics results/ originals/ --niqe --shave 4
    """
    from ..codecs import is_folder
    from ..images import read

    if not niqe and (niqe_model is not None or niqe_channel != GREY):
        raise InputError("--niqe-model and --niqe-channel are for --niqe; give it too")
    scores = _against_reference(options) if b is not None else []
    if niqe:
        scores.append(_niqe(niqe_channel, niqe_model, options["shave"]))
    if not scores:
        raise InputError("B is missing, which PSNR and SSIM compare A with; give it, or --niqe")

    def evaluate(path: str | Path, reference: str | Path | None) -> list[float]:
        picture = read(path, "A", max_pixels=max_pixels)
        other = None if reference is None else read(reference, "B", max_pixels=max_pixels)
        return [score.of(picture, other) for score in scores]

    if is_folder(Path(a), f"A={a!r}"):
        if not _print_table(_pairs(a, b), scores, evaluate):
            click.get_current_context().exit(EXIT_BAD_INPUT)
        return
    for score, value in zip(scores, evaluate(a, b), strict=True):
        click.echo(f"{score.name} {score.text(value)}{score.unit}")


@dataclass(frozen=True)
class _Score:
    """How a picture is scored, beside a reference or alone, and how that is printed."""

    name: str
    digits: int
    unit: str
    of: Callable[[Picture, Picture | None], Any]

    def text(self, value: float) -> str:
        return f"{value:.{self.digits}f}"


def _against_reference(options: dict[str, Any]) -> list[_Score]:
    from ..metrics import psnr, ssim

    return [
        _Score("PSNR", 3, " dB", lambda picture, other: psnr(picture, other, **options)),
        _Score("SSIM", 4, "", lambda picture, other: ssim(picture, other, **options)),
    ]


def _niqe(channel: Any, model: str | None, shave: int) -> _Score:
    from ..niqe.model import load
    from ..niqe.score import column, niqe

    check_kernels("cpu")
    with renamed(model="niqe_model"):
        pristine = load(model)

    def of(picture: Picture, _: Picture | None) -> Any:
        with renamed(channel="niqe_channel"):
            return niqe(picture, channel=channel, shave=shave, model=pristine)

    return _Score(column(pristine, channel), 4, "", of)


def _pairs(a: str, b: str | None) -> list[tuple[Path, Path | None]]:
    """Return the pictures of the folder A, each with that of the folder B which it belongs to, if there is B."""
    from ..files import RESULT_STEM, find_images

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
            raise InputError(f"A has {path.name!r}, and B={b!r} no picture of that name to compare it with")
        pairs.append((path, reference))
    return pairs


def _print_table(
    pairs: Sequence[tuple[Path, Path | None]],
    scores: Sequence[_Score],
    evaluate: Callable[[Path, Path | None], list[float]],
) -> bool:
    """Print a row for each picture, and the mean; return whether all could be scored."""
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
