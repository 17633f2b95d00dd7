"""A method on a benchmark folder: a table, CSV, the pictures and an HTML report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks import whole_number
from ..errors import InputError, InputTypeError
from ..methods import Method

if TYPE_CHECKING:
    import torch

    from ..data.benchmarks import Sample
    from .table import Mean, Row


def check_names(samples: Sequence[Sample]) -> None:
    """Refuse pictures whose results would have the file names of what belongs to another one.

    Raises:
        InputError: there are such pictures.
    """
    from .folder import BICUBIC, REFERENCE

    names = {sample.name for sample in samples}
    for name in sorted(names):
        for other in (f"{name}_{BICUBIC}", f"{name}_{REFERENCE}"):
            if other in names:
                raise InputError(f"data has the pictures {name!r} and {other!r}, whose results would be one file")


def check_factor(factor: Any) -> int:
    """Return `factor` when it is one that benchmarks have."""
    right = "a whole number of at least 2"
    value = whole_number("factor", factor, right)
    if value < 2:
        raise InputError(f"factor={factor} does not enlarge a picture; give {right}")
    return value


def check_options(method: Method, options: Any) -> Any:
    """Return the options to run `method` with, its defaults for None."""
    if options is None:
        required = [field.name for field in fields(method.options) if _is_required(field)]
        if required:
            raise InputError(f"options=None: method {method.name!r} needs {', '.join(required)}")
        return method.options()
    if not isinstance(options, method.options):
        raise InputTypeError(
            f"options={options!r} is a {type(options).__name__}; method {method.name!r} takes a "
            f"{method.options.__module__}.{method.options.__qualname__}"
        )
    return options


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


@dataclass(frozen=True)
class Evaluation:
    """The results of a method on a benchmark.

    Attributes:
        rows: one for each picture that is done, those of earlier runs among them.
        mean: over these rows; None where there are none.
        failures: for the name of a picture that could not be done, why.
        folder: holds results.csv, report.html, pictures and rows.
    """

    rows: list[Row]
    mean: Mean | None
    failures: Mapping[str, str]
    folder: Path

    def _repr_html_(self) -> str:
        """Return the table, for a notebook."""
        from .table import html_table

        return html_table(self.rows, self.mean)


def evaluate(
    method: str,
    data: str | Path,
    *,
    factor: int = 4,
    protocol: str = "rgb8",
    images: str | Iterable[str] | None = None,
    output: str | Path | None = None,
    device: str | torch.device | None = None,
    options: Any = None,
    show: Callable[[str], None] | None = None,
) -> Evaluation:
    """Run a method on the pictures of a benchmark and compare the results with the references.

    Every picture that is done is kept: a second call goes on where the first one was stopped. Processes started by
    torchrun share the pictures, each with a GPU of its own where there are any; `output` is then on a file system that
    they share.

    Args:
        method: the name of a built-in method or of one that `fastsr.methods.register` was called with.
        data: the folder of a benchmark; `benchmarks.find_benchmark` says which there are.
        factor: how much larger results are than inputs, a whole number of at least 2.
        protocol: "rgb8", "colour8", "matlab8" or "dip"; see `fastsr.data.protocols`.
        images: names of pictures and patterns, such as "img_00*"; None takes all.
        output: the folder for the results; by default evaluation/METHOD_DATASET_xFACTOR_PROTOCOL.
        device: "cpu", "cuda" or "cuda:N"; by default CUDA when present.
        options: an instance of the method's dataclass of options; None for its defaults.
        show: called with each line of the table as soon as it is known; in several processes, of rank 0 at the end.

    Returns:
        The rows of all pictures asked for, their mean and what failed; the same in each of several processes.

    Raises:
        InputError, InputTypeError: an argument that cannot be used, or `output` holds an evaluation with other
            settings.
        MissingFileError: there is no such folder of data.
        OutputError: nothing can be written to `output`.
        DeviceError: a device that is not there.
        KeyboardInterrupt: Ctrl-C; results.csv has what was done.
    """
    from ..data.benchmarks import find_benchmark, select
    from ..data.protocols import find_protocol
    from ..methods import find
    from .folder import Folder, Machine, Settings
    from .run import Run, join
    from .table import mean_of

    chosen = find(method)
    factor = check_factor(factor)
    options = check_options(chosen, options)
    scoring = find_protocol(protocol)
    benchmark = find_benchmark(data, factor)
    samples = select(benchmark.samples, images)
    check_names(samples)
    ranks = join()
    here = ranks.device(device)
    chosen.check(factor, options, here)
    machine = Machine.here(here)
    details = chosen.details(factor, options)
    settings = Settings(method, asdict(options), factor, protocol, benchmark.name, str(benchmark.folder), details)
    folder = Folder(Path(output or f"evaluation/{method}_{benchmark.name}_x{factor}_{protocol}"))
    folder.open(settings, machine)
    run = Run(chosen, options, factor, here, scoring, samples, folder, machine, ranks, show or _discard)
    try:
        rows, failures = run.work()
    except KeyboardInterrupt:
        run.write_table(run.rows())
        raise
    mean = mean_of(rows) if rows else None
    if ranks.rank == 0 and mean is not None:
        run.finish(rows, mean, settings, failures)
    ranks.wait()  # a process that ends with an error ends the others: not before the report is there
    return Evaluation(rows, mean, failures, folder.path)


def _discard(line: str) -> None:
    """Show nothing."""
