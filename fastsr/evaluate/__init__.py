"""A method on a benchmark folder: a table, CSV, the pictures and an HTML report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from .table import Mean, Row


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
    from .arguments import check_factor, check_names, check_options
    from .folder import Folder, Machine, Settings
    from .ranks import join
    from .run import Run
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
