"""Score a method on a benchmark folder: a table, a CSV file, the output images and an HTML report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks import input_error, whole_number
from ..errors import InputError, InputTypeError
from ..methods import Method

if TYPE_CHECKING:
    import torch

    from ..data.benchmarks import Sample
    from .table import Mean, Row


def check_names(samples: Sequence[Sample]) -> None:
    """Check that no two results of images would have the same file name.

    Raises:
        InputError: two would.
    """
    from .folder import BICUBIC, REFERENCE

    names = {sample.name for sample in samples}
    for name in sorted(names):
        for other in (f"{name}_{BICUBIC}", f"{name}_{REFERENCE}"):
            if other in names:
                raise InputError(
                    f"the data have images {name!r} and {other!r}, whose results would be one file; rename one"
                )


def check_factor(factor: Any) -> int:
    """Return `factor` if it is a whole number of at least 2."""
    right = "a whole number of at least 2"
    value = whole_number("factor", factor, right)
    if value < 2:
        raise input_error("factor", factor, "does not upscale an image", f"give {right}")
    return value


def check_options(method: Method, options: Any) -> Any:
    """Return `options` if they are those of `method`; for None return its defaults."""
    if options is None:
        required = [field.name for field in fields(method.options) if _is_required(field)]
        if required:
            raise input_error(
                "options", None, f"is not enough for method {method.name!r}", f"give {', '.join(required)}"
            )
        return method.options()
    if not isinstance(options, method.options):
        raise input_error(
            "options",
            options,
            f"is a {type(options).__name__}",
            f"method {method.name!r} takes a {method.options.__module__}.{method.options.__qualname__}",
            kind=InputTypeError,
        )
    return options


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


@dataclass(frozen=True)
class Evaluation:
    """The results of a method on a benchmark.

    Attributes:
        rows: a row for each image that is done, including those of earlier runs.
        mean: means over the rows; None if there are no rows.
        failures: reasons, by the names of the images that failed.
        folder: folder with results.csv, report.html, pictures and rows.
    """

    rows: list[Row]
    mean: Mean | None
    failures: Mapping[str, str]
    folder: Path

    def _repr_html_(self) -> str:
        """Return the table as HTML, for notebooks."""
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
    """Run a method on the images of a benchmark and compare the results with the references.

    An interrupted evaluation resumes when it is called again. Processes started by torchrun share the images, each on a
    GPU of its own if there are any; `output` must then be on a file system that all processes share.

    Args:
        method: name of a built-in method, or of one registered by `fastsr.methods.register`.
        data: folder of a benchmark; see `fastsr.data.benchmarks.find_benchmark` for the layouts.
        factor: upscaling factor, a whole number of at least 2.
        protocol: "rgb8", "colour8", "matlab8" or "dip"; see `fastsr.data.protocols`.
        images: names of images or patterns, such as "img_00*"; None for all.
        output: folder for the results; by default evaluation/METHOD_DATASET_xFACTOR_PROTOCOL.
        device: "cpu", "cuda" or "cuda:N"; by default CUDA if available.
        options: an instance of the method's dataclass of options; None for its defaults.
        show: called with each line of the table as soon as it is known; with several processes, only in rank 0, at the
            end.

    Returns:
        The rows of the requested images, their mean and the failures; the same in every process.

    Raises:
        InputError, InputTypeError: an argument that cannot be used, or `output` holds an evaluation with other
            settings.
        MissingFileError: the folder of data does not exist.
        OutputError: `output` cannot be written to.
        DeviceError: the device is not available.
        KeyboardInterrupt: Ctrl-C; results.csv has the finished rows.
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
    ranks.wait()  # a process that fails ends the others, but not before the report is written
    return Evaluation(rows, mean, failures, folder.path)


def _discard(line: str) -> None:
    """Show nothing."""
