"""The command line: ``fastsr COMMAND``.

Everything heavy is imported inside the commands, so that ``fastsr --help`` answers at once.
"""

from __future__ import annotations

import io
import sys

import click

from . import __version__
from .commands.compare import compare
from .commands.data import data
from .commands.dip import dip
from .commands.doctor import doctor
from .commands.evaluate import evaluate
from .commands.metrics import metrics
from .commands.niqe_fit import niqe_fit
from .commands.plot import plot
from .commands.prepare import prepare
from .commands.pulse import pulse
from .commands.resize import resize
from .commands.sr3 import sr3
from .commands.srgan import srgan
from .commands.train import train
from .commands.weights import weights


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fastsr")
def main() -> None:
    """Upscale and restore pictures."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may hold what the terminal cannot show


for command in (
    dip,
    srgan,
    sr3,
    pulse,
    resize,
    compare,
    metrics,
    niqe_fit,
    evaluate,
    train,
    plot,
    weights,
    data,
    prepare,
    doctor,
):
    main.add_command(command)
