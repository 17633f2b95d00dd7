"""Run a method over the pictures of a benchmark, one after the other, so that it can be stopped at any time."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.benchmarks import Sample
from ..data.protocols import Protocol, eight_bits
from ..domain import gathered, warn
from ..errors import Doubt, FastsrError, InputError
from ..images import read, save
from ..methods import Method
from ..resize import resize
from .folder import BICUBIC, REFERENCE, Folder, Machine, Settings
from .ranks import Ranks
from .report import write_report
from .table import HEADER, MEAN, Mean, Row, cells, line, mean_cells, write_csv


@dataclass(frozen=True)
class Run:
    """An evaluation that is ready to run.

    Attributes:
        method, options, factor, device: what `Method.upscale` is called with.
        protocol: prepares and scores.
        samples: the pictures, in the order of the table.
        folder: where results go, opened.
        machine: what this process runs on.
        ranks: the processes that share the pictures.
        show: called with each line of the table as soon as it is known.
    """

    method: Method
    options: Any
    factor: int
    device: torch.device
    protocol: Protocol
    samples: Sequence[Sample]
    folder: Folder
    machine: Machine
    ranks: Ranks
    show: Callable[[str], None]

    def work(self) -> tuple[list[Row], dict[str, str]]:
        """Do this process's part of what is not done yet.

        One process alone shows the rows of earlier runs, then each of its own when it is done.

        Returns:
            In all processes what all of them did: the rows, those of earlier runs among them, and what went wrong with
            which picture. Of pictures that weights do not know there is one warning, when all are done.
        """
        rows = {row.image: row for row in self.rows()}
        failures = {}
        doubts: dict[str, list[Doubt]] = {}
        if self._alone:
            for values in (HEADER, *map(cells, rows.values())):
                self._show(values)
        for sample in self.ranks.share([sample for sample in self.samples if sample.name not in rows]):
            try:
                with gathered() as found:
                    row = self._work_on(sample)
            except FastsrError as error:
                failures[sample.name] = str(error)
            except Exception as error:  # of a method: memory of a GPU that ran out, a bug in somebody's own
                traceback.print_exc()
                failures[sample.name] = f"{type(error).__name__}: {error}"
            else:
                rows[sample.name] = row
                doubts[sample.name] = [replace(doubt, name=sample.name) for doubt in found]
                if self._alone:
                    self._show(cells(row))
                else:
                    print(self._line(cells(row)), file=sys.stderr, flush=True)  # the table comes from rank 0, later
        # The rows themselves, for a shared file system may show what another machine wrote only later.
        for more_rows, more_failures, more_doubts in self.ranks.gather((rows, failures, doubts)):
            rows.update(more_rows)
            failures.update(more_failures)
            doubts.update(more_doubts)
        if self.ranks.rank == 0:
            warn(doubt for sample in self.samples for doubt in doubts.get(sample.name, ()))
        return [rows[sample.name] for sample in self.samples if sample.name in rows], failures

    def rows(self) -> list[Row]:
        """Return the rows in the folder, in the order of the pictures."""
        return [row for sample in self.samples if (row := self.folder.row(sample.name)) is not None]

    def write_table(self, rows: Sequence[Row]) -> None:
        """Write results.csv, if there are results."""
        if rows:
            write_csv(rows, self.folder.path / "results.csv", self._mean_of(rows))

    def finish(self, rows: Sequence[Row], mean: Mean, settings: Settings, failures: Mapping[str, str]) -> None:
        """Show the mean, below the rows where several processes made them, and write the CSV and the report."""
        mean_row = mean_cells(mean, self._mean_of(rows))
        if not self._alone:
            for values in (HEADER, *map(cells, rows)):
                self._show(values)
        self._show(mean_row)
        self.write_table(rows)
        write_report(
            self.folder.path / "report.html",
            title=f"{settings.method} on {settings.dataset} x{self.factor}",
            facts=_facts(settings, self.machine, failures),
            header=HEADER,
            rows=[cells(row) for row in rows],
            mean=mean_row,
            pictures={row.image: self._compared(row.image) for row in rows},
        )

    @property
    def _alone(self) -> bool:
        return self.ranks.count == 1

    def _mean_of(self, rows: Sequence[Row]) -> str:
        """Return what the mean is called: that over a part of the pictures says so."""
        return MEAN if len(rows) == len(self.samples) else f"{MEAN} of {len(rows)} of {len(self.samples)}"

    def _show(self, values: Sequence[str]) -> None:
        self.show(self._line(values))

    def _line(self, values: Sequence[str]) -> str:
        return line(values, [sample.name for sample in self.samples])

    def _work_on(self, sample: Sample) -> Row:
        case = self.protocol.prepare(sample, self.factor)
        picture = read(case.lr, sample.name)
        start = time.perf_counter()
        upscaled = self.method.upscale(picture, self.factor, self.options, self.device, self.protocol.kernel)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        seconds = time.perf_counter() - start
        result = eight_bits(upscaled)
        if result.shape != case.hr.shape:
            raise InputError(
                f"method {self.method.name!r} made {_describe(result)} of {_describe(case.lr)}; the reference has "
                f"{_describe(case.hr)}"
            )
        scores = self.protocol.score(result, case, self.factor)
        save(case.hr, self.folder.picture(sample.name, REFERENCE))
        save(resize(case.lr, self.factor), self.folder.picture(sample.name, BICUBIC))
        save(replace(read(result), comment=upscaled.comment), self.folder.picture(sample.name))
        height, width = case.hr.shape[-2:]
        row = Row(
            image=sample.name,
            width=width,
            height=height,
            psnr_y=scores.psnr_y,
            psnr_rgb=scores.psnr_rgb,
            ssim=scores.ssim,
            lr_psnr=scores.lr_consistency,
            seconds=seconds,
        )
        self.folder.write_row(row, self.machine)
        return row

    def _compared(self, name: str) -> dict[str, Path]:
        """The pictures of the report; where the method is bicubic itself, there is one of it."""
        return {
            BICUBIC: self.folder.picture(name, BICUBIC),
            self.method.name: self.folder.picture(name),
            "HR": self.folder.picture(name, REFERENCE),
        }


def _facts(settings: Settings, machine: Machine, failures: Mapping[str, str]) -> dict[str, str]:
    """What the report says beside the figures; where the data lie is nobody's concern but the user's."""
    options = ", ".join(f"{name}={value}" for name, value in settings.options.items())
    failed = {"not done": "; ".join(f"{name}: {problem}" for name, problem in failures.items())} if failures else {}
    details = {"details": settings.details} if settings.details else {}
    return {
        "method": settings.method,
        "options": options or "none",
        **details,
        "data set": settings.dataset,
        "factor": str(settings.factor),
        "protocol": settings.protocol,
        "fastsr": machine.fastsr,
        "device": machine.device,
        "threads": str(machine.threads),
        **failed,
    }


def _describe(picture: Tensor) -> str:
    channels, height, width = picture.shape
    return f"{width}x{height} pixels of {channels} channel{'s' if channels > 1 else ''}"
