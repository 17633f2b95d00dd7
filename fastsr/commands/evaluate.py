"""``fastsr evaluate METHOD``: each method is a command that has the options of all and its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ..errors import FastsrError, InputError
from ..methods import find, names
from ..options import DEVICE, command_options, from_command
from .common import EXIT_BAD_INPUT, Command, check_kernels, complain

if TYPE_CHECKING:
    from ..methods import Method

EXPLANATION = """
FOLDER is the folder of a benchmark, in one of these layouts:

\b
  SelfExSR       image_SRF_4/img_001_SRF_4_HR.png and ..._LR.png
  pairs          HR or GT beside LR; DIV2K_valid_HR beside DIV2K_valid_LR_bicubic/X4
  squares        hr_128 beside lr_16, as fastsr prepare --size 16,128 writes them
  plain images   downscaled by MATLAB's bicubic imresize

An interrupted evaluation resumes when the command is run again. Under torchrun the processes share the images, each on
a GPU of its own if there are any; data and output must be on a file system that all processes share.
"""


class MethodGroup(click.Group):
    """A group whose commands are the methods, imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the methods."""
        return names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return the command of a method."""
        try:
            method = find(cmd_name)
        except FastsrError as error:
            ctx.fail(str(error))
        return Command(
            cmd_name,
            params=[*_common_options(), *command_options(method.options)],
            callback=partial(_run, method),
            help=f"{method.summary}\n\n{EXPLANATION}",
            short_help=method.summary,
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names alone; summaries would need the methods themselves."""
        with formatter.section("Methods"):
            formatter.write_text(", ".join(names()))


@click.group(cls=MethodGroup, subcommand_metavar="METHOD --data FOLDER [OPTIONS]")
def evaluate() -> None:
    """Score a method on a benchmark.

    Writes a table, a CSV file, the output images and an HTML report.

    \b
      fastsr evaluate bicubic --data Set5 --factor 4
      fastsr evaluate dip --help     # the common options, and those of dip
    """


def _common_options() -> list[click.Parameter]:
    return [
        click.Option(["--data"], required=True, metavar="FOLDER", help="Folder of a benchmark."),
        click.Option(
            ["--factor"],
            type=click.IntRange(min=2),
            default=4,
            show_default=True,
            help="Upscaling factor.",
        ),
        click.Option(
            ["--protocol"],
            type=click.Choice(["rgb8", "colour8", "matlab8", "dip"]),
            default="rgb8",
            show_default=True,
            help="How inputs are made and results scored. rgb8: as in papers on trained networks; colour8: the same, "
            "with grey images as RGB; matlab8: as in MATLAB code; dip: as in the paper on Deep Image Prior.",
        ),
        click.Option(
            ["--images"],
            multiple=True,
            metavar="NAME",
            help="Evaluate only these images: names or patterns, separated by commas.",
        ),
        click.Option(
            ["-o", "--output"],
            metavar="DIR",
            help="Output folder.  [default: evaluation/METHOD_DATASET_xFACTOR_PROTOCOL]",
        ),
        click.Option(["--device"], metavar="DEVICE", help=DEVICE),
    ]


def _run(
    method: Method,
    data: str,
    factor: int,
    protocol: str,
    images: tuple[str, ...],
    output: str | None,
    device: str | None,
    **own: Any,
) -> None:
    from ..evaluate import evaluate as run
    from ..runtime.device import resolve_device

    for used in (resolve_device(device), "cpu"):  # resizing and scores are computed on the CPU
        check_kernels(used)
    evaluation = run(
        method.name,
        data,
        factor=factor,
        protocol=protocol,
        images=images or None,
        output=output,
        device=device,
        options=from_command(method.options, own),
        show=click.echo,
    )
    for name, problem in evaluation.failures.items():
        complain(InputError(f"{name!r}: {problem}"))
    if evaluation.failures:
        click.get_current_context().exit(EXIT_BAD_INPUT)
