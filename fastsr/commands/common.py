"""What the commands share: errors and warnings as one line, a loop over images, and common options."""

from __future__ import annotations

import shlex
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..checks import Spelling, spelled_by
from ..errors import Doubt, FastsrError, InputError, Interrupted

if TYPE_CHECKING:
    import torch

    from ..images import Picture

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


class CommandSpelling(Spelling):
    """Writes the arguments of functions as the options of `command`.

    Args:
        command: the command that runs.
        names: for the name of an argument that of the command's parameter, where they differ.
    """

    def __init__(self, command: click.Command, names: Mapping[str, str] | None = None):
        self._command, self._names = command, names or {}

    def argument(self, name: str, value: Any) -> str:
        """Write an option as one types it: "--seed 3", "--no-consistency", or "--mask" for None."""
        name = self._names.get(name, name)
        option = next((param for param in self._command.params if param.name == name), None)
        if not isinstance(option, click.Option):
            label = "IN" if name.endswith("]") else name.upper()  # images[0] is one of IN...
            return label if value is None else f"{label} {str(value)!r}"
        flag = max(option.opts, key=len)
        if option.is_flag and isinstance(value, bool):
            return flag if value else max(option.secondary_opts, key=len, default=f"no {flag}")
        if value is None:
            return flag
        several = isinstance(value, (tuple, list))
        if several and option.multiple:
            return " ".join(f"{flag} {_typed(one)}" for one in value)
        return f"{flag} {_typed(value)}" if not several else f"{flag} {' '.join(map(_typed, value))}"

    def call(self, function: str, arguments: Mapping[str, Any]) -> str:
        """Write a command in place of a function: `` `fastsr resize IN --size 8 8` ``."""
        commands: Mapping[str, click.Command] = getattr(click.get_current_context().find_root().command, "commands", {})
        if function not in commands:
            return Spelling().call(function, arguments)
        options = CommandSpelling(commands[function])
        words = ["IN", *(options.argument(name, value) for name, value in arguments.items())] if arguments else []
        return f"`{' '.join(['fastsr', function, *words])}`"


def _typed(value: object) -> str:
    """Return a value as one types it into a shell."""
    return f"{value:.15g}" if isinstance(value, float) else shlex.quote(str(value))


@contextmanager
def renamed(**names: str) -> Iterator[None]:
    """Give arguments the names of the command's: by ``renamed(model="niqe_model")`` an error says --niqe-model."""
    with spelled_by(CommandSpelling(click.get_current_context().command, names)):
        yield


class Command(click.Command):
    """A command whose known errors become one line on stderr instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            with spelled_by(CommandSpelling(self)), warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except FastsrError as error:
            complain(error)
            ctx.exit(EXIT_BAD_INPUT)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(EXIT_INTERRUPTED)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    warn(str(message))


def warn(message: str) -> None:
    """Print a warning as one line, above the progress bars."""
    from ..runtime.progress import print_beside_bars

    print_beside_bars(f"Warning: {' '.join(message.splitlines())}", err=True)


def warn_of(doubts: Iterable[Doubt], source: Path) -> None:
    """Print a warning for each reason why the result of the image `source`, or of a face in it, may be bad."""
    for doubt in doubts:
        name = repr(str(source)) if doubt.name == "IN" else f"{str(source)!r}: {doubt.name}"
        warn(f"{name} is {doubt.reason}")


def complain(error: FastsrError, source: Path | None = None) -> None:
    """Print an error as one line, which names the image `source` that it is about."""
    message = " ".join(str(error).splitlines())
    named = source is None or repr(str(source)) in message
    click.echo(f"Error: {message}" if named else f"Error: {str(source)!r}: {message}", err=True)


def work_through(
    plan: Sequence[tuple[Path, Path]],
    max_pixels: int | None,
    check: Callable[[Picture, Path], Iterable[Doubt]],
    work: Callable[[Iterator[Picture]], Iterator[Any]],
    write: Callable[[Picture, Any, Path], Sequence[str | Doubt] | None],
) -> None:
    """Read every image of the plan, `work` on them and `write` the results; exit with status 2 if an image failed.

    An image that fails does not stop the others. Ctrl-C does, after the result so far is written.

    Args:
        plan: input and output of every image.
        max_pixels: maximum number of pixels of an image.
        check: raises an error for an image that cannot be worked on, and returns why its result may be bad; called with
            the image and the path of its output.
        work: returns an iterator of results for an iterator of images, in their order; it may raise `Interrupted`.
        write: writes the result of an image; returns the lines to print, with doubts to warn of among them, or None for
            the path of the output.
    """
    from ..runtime.progress import print_beside_bars

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
                raise  # it is about no image
            run.fail(error)
            results = work(run.pictures())
            continue
        if result is None:
            break
        source, target, picture = run.begun.popleft()
        try:
            lines = write(picture, result, target) or [str(target)]
        except FastsrError as error:
            run.complain(error, source)
        else:
            if interrupted:
                lines = [f"Interrupted: {target} holds the result so far."]
            for line in lines:
                if isinstance(line, Doubt):
                    warn_of([line], source)
                else:
                    print_beside_bars(line, err=interrupted)
        if interrupted:
            click.get_current_context().exit(EXIT_INTERRUPTED)
    if run.failed:
        click.get_current_context().exit(EXIT_BAD_INPUT)


class _Run:
    """The images of a plan, each read when it is requested.

    Attributes:
        begun: input, output and image of those that were read and are not done.
        failed: whether an image failed.
    """

    def __init__(
        self, plan: list[tuple[Path, Path]], max_pixels: int | None, check: Callable[[Picture, Path], Iterable[Doubt]]
    ):
        self.begun: deque[tuple[Path, Path, Picture]] = deque()
        self.failed = False
        self._plan, self._max_pixels, self._check = deque(plan), max_pixels, check

    def pictures(self) -> Iterator[Picture]:
        """Yield the remaining images of the plan; print the error of one that fails, and go to the next."""
        from ..images import check_output, read

        while self._plan:
            source, target = self._plan.popleft()
            try:
                picture = read(source, "IN", max_pixels=self._max_pixels)
                check_output(target, picture)
                doubts = self._check(picture, target)
            except FastsrError as error:
                self.complain(error, source)
                continue
            warn_of(doubts, source)
            self.begun.append((source, target, picture))
            yield picture

    def fail(self, error: FastsrError) -> None:
        """Give up the image that is being worked on; those begun after it are read again."""
        source, _, _ = self.begun.popleft()
        self.complain(error, source)
        while self.begun:
            later, target, _ = self.begun.pop()
            self._plan.appendleft((later, target))

    def complain(self, error: FastsrError, source: Path) -> None:
        """Print the error of an image."""
        complain(error, source)
        self.failed = True


@contextmanager
def kernel_choice() -> Iterator[None]:
    """Turn the kernels' ValueError about FASTSR_KERNELS, which users of commands set, into an InputError."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from error


def check_kernels(device: str | torch.device) -> None:
    """Raise `InputError` if FASTSR_KERNELS names no implementation, or none for `device`."""
    import torch

    from fastsr_kernels import backend

    with kernel_choice():
        backend.choose(torch.empty(0, device=device))


def images_argument() -> click.Argument:
    """Return the argument for the images of a command."""
    return click.Argument(["images"], nargs=-1, required=True, metavar="IN...")


def output_option() -> click.Option:
    """Return the option for the results of a command."""
    text = "Output file (for one image) or folder.  [default: beside IN]"
    return click.Option(["-o", "--output"], metavar="OUT|DIR", help=text)


max_pixels_option = click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    help="Maximum number of pixels of an input image.  [default: Pillow's limit against decompression bombs]",
)
