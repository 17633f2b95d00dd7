"""``fastsr doctor``."""

from __future__ import annotations

import click

from .common import Command, kernel_choice


@click.command(cls=Command)
def doctor() -> None:
    """Report the environment and check the kernels.

    Versions, devices, and which implementation each operation uses and why.
    """
    import torch

    from fastsr_kernels import backend

    from ..doctor import report

    with kernel_choice():
        backend.explain(torch.device("cpu"))
    lines, healthy = report()
    click.echo("\n".join(lines))
    if not healthy:
        click.get_current_context().exit(1)
