"""``fastsr train METHOD``: each method is a command that has the settings of its training as options."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..checks import input_error
from ..errors import OutputError
from ..options import command_options
from .common import EXIT_INTERRUPTED, Command, check_kernels

if TYPE_CHECKING:
    from ..training.settings import Settings

SUMMARIES = {
    "srgan": "SRGAN and SRResNet, in the two stages of the paper.",
    "sr3": "SR3, a diffusion model.",
    "stylegan": "StyleGAN, the generator that PULSE searches.",
}
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
The folder of the run holds settings, losses, checkpoints and sample images. Run the same command again to resume from
the last checkpoint. Settings on the command line override those in the file of --config; the defaults are the paper's.
"""


class MethodGroup(click.Group):
    """A group whose commands are the methods, imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the methods."""
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a method."""
        if cmd_name not in SUMMARIES:
            return None
        settings = importlib.import_module(f"fastsr.{cmd_name}.train_settings").TrainSettings
        return Command(
            cmd_name,
            params=[*_common_options(cmd_name), *command_options(settings)],
            callback=lambda **arguments: _run(cmd_name, settings, **arguments),
            help=f"Train {SUMMARIES[cmd_name]}\n\n{EXPLANATION}{EXAMPLES[cmd_name]}",
            short_help=SUMMARIES[cmd_name],
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the summaries, without importing a method."""
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
            help="Folder of the run.",
        ),
        click.Option(["--config"], type=click.Path(path_type=Path), metavar="FILE", help="YAML file with settings."),
    ]


def _run(name: str, kind: type[Settings], output: Path, config: Path | None, **values: Any) -> None:
    from ..runtime.device import resolve_device
    from ..training.settings import require_packages

    require_packages()
    from ..training.settings import read_settings

    context = click.get_current_context()
    defaults = (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    given = {key: value for key, value in values.items() if context.get_parameter_source(key) not in defaults}
    settings = read_settings(kind, config, given)
    for used in (resolve_device(settings.device), "cpu"):  # images for validation are made on the CPU
        check_kernels(used)
    outcome = importlib.import_module(f"fastsr.{name}.training").train(settings, output)
    if outcome.main and outcome.finished:
        click.echo(f"{output}: {outcome.step} steps done")
    elif outcome.main:
        click.echo(f"Interrupted after step {outcome.step}; run the same command again to resume.", err=True)
    if not outcome.finished:
        context.exit(EXIT_INTERRUPTED)


SUFFIXES = (".png", ".svg", ".pdf")


@click.command(cls=Command)
@click.argument("run")
@click.option("-o", "--output", metavar="OUT", help="Output file, .png, .svg or .pdf.  [default: RUN/curves.png]")
def plot(run: str, output: str | None) -> None:
    """Plot the losses and validation scores of a training run.

    RUN is the folder of fastsr train; the training may still be running. Requires matplotlib: pip install matplotlib.

    \b
      fastsr plot runs/srgan
    """
    from ..figures.history import History
    from ..io.files import atomic_write, prepare_folder

    target = Path(output or Path(run) / "curves.png")
    if target.suffix.lower() not in SUFFIXES:
        raise input_error(
            "output", str(target), "has an unknown suffix", f"give one of {', '.join(SUFFIXES)}", kind=OutputError
        )
    figure = History.read(run).plot()
    prepare_folder(target.parent)
    with atomic_write(target) as file:
        figure.savefig(file, format=target.suffix[1:].lower())
    click.echo(target)
