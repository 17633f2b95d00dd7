"""``fastsr train METHOD``: each method is a command that has the settings of its training as options."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..options import command_options
from .common import EXIT_INTERRUPTED, Command, check_kernels

if TYPE_CHECKING:
    from ..training.settings import Settings

SUMMARIES = {
    "srgan": "SRGAN and SRResNet, in the two stages of the paper.",
    "sr3": "SR3, a diffusion model.",
    "stylegan": "StyleGAN, whose pictures PULSE searches.",
}
PACKAGES = {"srgan": "srgan", "sr3": "sr3", "stylegan": "pulse"}
"""Of fastsr: where each method is."""
EXAMPLES = {
    "srgan": """
\b
  fastsr train srgan --data DIV2K --val Set5 -o runs/srgan
  torchrun --nproc_per_node 4 -m fastsr train srgan --data DIV2K -o runs/srgan
""",
    "sr3": """
\b
  fastsr prepare faces --size 16,128 -o faces_16_128
  fastsr train sr3 --data faces_16_128 -o runs/sr3
  torchrun --nproc_per_node 4 -m fastsr train sr3 --data faces_16_128 -o runs/sr3
""",
    "stylegan": """
\b
  fastsr train stylegan --data faces --resolution 64 --precision bfloat16 -o runs/stylegan
  torchrun --nproc_per_node 4 -m fastsr train stylegan --data faces --resolution 256 -o runs/stylegan
""",
}
EXPLANATION = """
The folder of the run holds settings, losses, checkpoints and sample pictures. The same command again goes on after the
last checkpoint. Settings come from the command line, else from the file of --config, else they are the paper's.
"""


class MethodGroup(click.Group):
    """A group whose commands are the methods, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the methods."""
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a method."""
        if cmd_name not in SUMMARIES:
            return None
        settings = importlib.import_module(f"fastsr.{PACKAGES[cmd_name]}.train_settings").TrainSettings
        return Command(
            cmd_name,
            params=[*_common_options(cmd_name), *command_options(settings)],
            callback=lambda **arguments: _run(cmd_name, settings, **arguments),
            help=f"Train {SUMMARIES[cmd_name]}\n\n{EXPLANATION}{EXAMPLES[cmd_name]}",
            short_help=SUMMARIES[cmd_name],
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the summaries, for which no method is imported."""
        with formatter.section("Methods"):
            formatter.write_dl(list(SUMMARIES.items()))


@click.group(cls=MethodGroup, subcommand_metavar="METHOD --data DIR [OPTIONS]")
def train() -> None:
    """Train a method's network."""


def _common_options(name: str) -> list[click.Parameter]:
    return [
        click.Option(
            ["-o", "--output"],
            type=click.Path(path_type=Path),
            default=Path("runs", name),
            show_default=True,
            metavar="DIR",
            help="The folder of the run.",
        ),
        click.Option(["--config"], type=click.Path(path_type=Path), metavar="FILE", help="YAML file of settings."),
    ]


def _run(name: str, kind: type[Settings], output: Path, config: Path | None, **values: Any) -> None:
    from ..device import resolve_device
    from ..training.packages import require_packages

    require_packages()
    from ..training.config import read_settings

    context = click.get_current_context()
    defaults = (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    given = {key: value for key, value in values.items() if context.get_parameter_source(key) not in defaults}
    settings = read_settings(kind, config, given)
    for used in (resolve_device(settings.device), "cpu"):  # pictures for validation are made on the CPU
        check_kernels(used)
    outcome = importlib.import_module(f"fastsr.{PACKAGES[name]}.training").train(settings, output)
    if outcome.main and outcome.finished:
        click.echo(f"{output}: {outcome.step} steps done")
    elif outcome.main:
        click.echo(f"Interrupted after step {outcome.step}; the same command goes on from there.", err=True)
    if not outcome.finished:
        context.exit(EXIT_INTERRUPTED)
