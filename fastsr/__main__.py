"""The command line as ``python -m fastsr``, which torchrun can start."""

from .cli import main

main(prog_name="fastsr")
