"""What the commands share: errors as one line, pictures worked through, and options."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import DomainWarning, FastsrError, InputError, Interrupted
from .words import spoken

if TYPE_CHECKING:
    import torch

    from ..images import Picture

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


class Command(click.Command):
    """A command whose known errors become one line on stderr instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except FastsrError as error:
            complain(error)
            ctx.exit(EXIT_BAD_INPUT)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(EXIT_INTERRUPTED)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    from ..progress import print_beside_bars

    print_beside_bars(f"Warning: {spoken(str(message))}", err=True)


@contextmanager
def warnings_about(source: Path) -> Iterator[None]:
    """Let warnings name the picture `source` that they are about; each is shown, though it was shown of others."""
    from ..progress import print_beside_bars

    with warnings.catch_warnings():
        warnings.simplefilter("always", DomainWarning)
        warnings.showwarning = lambda message, *_, **__: print_beside_bars(
            f"Warning: {str(source)!r}: {spoken(str(message))}", err=True
        )
        yield


def complain(error: FastsrError, source: Path | None = None) -> None:
    """Print an error as one line, which names the picture `source` that it is about."""
    message = spoken(" ".join(str(error).splitlines()))
    named = source is None or repr(str(source)) in message
    click.echo(f"Error: {message}" if named else f"Error: {str(source)!r}: {message}", err=True)


def work_through(
    plan: Sequence[tuple[Path, Path]],
    max_pixels: int | None,
    check: Callable[[Picture, Path], None],
    work: Callable[[Iterator[Picture]], Iterator[Any]],
    write: Callable[[Picture, Any, Path], Sequence[str] | None],
) -> None:
    """Read every picture of the plan, `work` on them and `write` the results; end the command as that went.

    A picture that fails does not keep the others from being done. Ctrl-C does, once the picture reached is written.

    Args:
        plan: input and output of every picture.
        max_pixels: of a picture.
        check: raises what a picture cannot be worked on for, and warns of what it can be but badly, before the work.
        work: gives an iterator of results for one of pictures, in their order; it may raise `Interrupted`.
        write: writes the result of a picture; it may return the lines that say so, for the path of the output.
    """
    from ..progress import print_beside_bars

    run = _Run(list(plan), max_pixels, check)
    results = work(run.pictures())
    while True:
        interrupted = False
        try:
            result = next(results, None)
        except Interrupted as stop:
            result, interrupted = stop.image, True
        except FastsrError as error:
            if not run.begun:
                raise  # it is about no picture
            run.fail(error)
            results = work(run.pictures())
            continue
        if result is None:
            break
        source, target, picture = run.begun.popleft()
        try:
            with warnings_about(source):
                lines = write(picture, result, target) or [str(target)]
        except FastsrError as error:
            run.complain(error, source)
        else:
            if interrupted:
                lines = [f"Interrupted: {target} holds the picture reached so far."]
            for line in lines:
                print_beside_bars(line, err=interrupted)
        if interrupted:
            click.get_current_context().exit(EXIT_INTERRUPTED)
    if run.failed:
        click.get_current_context().exit(EXIT_BAD_INPUT)


class _Run:
    """The pictures of a plan, read as they are asked for.

    Attributes:
        begun: input, output and picture of what was read and is not done.
        failed: whether anything was.
    """

    def __init__(self, plan: list[tuple[Path, Path]], max_pixels: int | None, check: Callable[[Picture, Path], None]):
        self.begun: deque[tuple[Path, Path, Picture]] = deque()
        self.failed = False
        self._plan, self._max_pixels, self._check = deque(plan), max_pixels, check

    def pictures(self) -> Iterator[Picture]:
        """Read what is left of the plan, and pass over what fails."""
        from ..images import check_output, read

        while self._plan:
            source, target = self._plan.popleft()
            try:
                picture = read(source, "IN", max_pixels=self._max_pixels)
                check_output(target, picture)
                with warnings_about(source):
                    self._check(picture, target)
            except FastsrError as error:
                self.complain(error, source)
                continue
            self.begun.append((source, target, picture))
            yield picture

    def fail(self, error: FastsrError) -> None:
        """Give up the picture that is being worked on; those begun after it are read again."""
        source, _, _ = self.begun.popleft()
        self.complain(error, source)
        while self.begun:
            later, target, _ = self.begun.pop()
            self._plan.appendleft((later, target))

    def complain(self, error: FastsrError, source: Path) -> None:
        """Print what failed."""
        complain(error, source)
        self.failed = True


@contextmanager
def kernel_choice() -> Iterator[None]:
    """Turn what the kernels say of FASTSR_KERNELS, which only a user of the command line sets, into its error."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from error


def check_kernels(device: str | torch.device) -> None:
    """Refuse a FASTSR_KERNELS that names no implementation, or none for `device`."""
    import torch

    from fastsr_kernels import backend

    with kernel_choice():
        backend.choose(torch.empty(0, device=device))


images_argument = click.argument("images", nargs=-1, required=True, metavar="IN...")
output_option = click.option(
    "-o", "--output", metavar="OUT|DIR", help="A file (for one picture) or a folder.  [default: beside IN]"
)
max_pixels_option = click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    help="Open pictures of up to this many pixels.  [default: Pillow's limit against decompression bombs]",
)
