"""``fastsr evaluate METHOD``: each method is a command that has the options of all and its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ..errors import FastsrError, InputError
from ..methods import find, names
from ..options import command_options, from_command
from .common import EXIT_BAD_INPUT, Command, check_kernels, complain

if TYPE_CHECKING:
    from ..methods import Method

EXPLANATION = """
The data are the folder of a benchmark:

\b
  SelfExSR's     image_SRF_4/img_001_SRF_4_HR.png and ..._LR.png
  pairs          HR or GT beside LR; DIV2K_valid_HR beside DIV2K_valid_LR_bicubic/X4
  squares        hr_128 beside lr_16, as fastsr prepare --size 16,128 makes them
  just pictures  their inputs are made by MATLAB's bicubic imresize

A second run goes on where the first one was stopped. Under torchrun the processes share the pictures, each with a
GPU of its own where there are any; data and output are then on a file system that they share.
"""


class MethodGroup(click.Group):
    """A group whose commands are the methods, each imported when it is asked for."""

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
        """Write the names alone: a summary would need the method's module."""
        with formatter.section("Methods"):
            formatter.write_text(", ".join(names()))


@click.group(cls=MethodGroup, subcommand_metavar="METHOD --data FOLDER [OPTIONS]")
def evaluate() -> None:
    """Score a method on a benchmark.

    What comes of it is a table, CSV, the pictures and an HTML report.

    \b
      fastsr evaluate bicubic --data Set5 --factor 4
      fastsr evaluate dip --help     # the options of all methods, and dip's own
    """


def _common_options() -> list[click.Parameter]:
    return [
        click.Option(["--data"], required=True, metavar="FOLDER", help="The folder of a benchmark."),
        click.Option(
            ["--factor"],
            type=click.IntRange(min=2),
            default=4,
            show_default=True,
            help="How many times larger results are than inputs.",
        ),
        click.Option(
            ["--protocol"],
            default="rgb8",
            show_default=True,
            help="rgb8 as networks report, colour8 (grey pictures as RGB), matlab8, or dip of Deep Image Prior.",
        ),
        click.Option(
            ["--images"],
            multiple=True,
            metavar="NAME",
            help="Only these pictures, in table and report too: names, patterns, or several with commas between.",
        ),
        click.Option(
            ["-o", "--output"],
            metavar="DIR",
            help="The folder for the results.  [default: evaluation/METHOD_DATASET_xFACTOR_PROTOCOL]",
        ),
        click.Option(["--device"], help="cpu, cuda or cuda:N.  [default: cuda when present]"),
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
    from ..device import resolve_device
    from ..evaluate import evaluate as run

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
