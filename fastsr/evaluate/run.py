"""Run a method on the images of a benchmark one by one, so that it can be interrupted and resumed."""

from __future__ import annotations

import atexit
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from ..data.benchmarks import Sample
from ..data.protocols import Protocol
from ..data.stored_images import to_uint8
from ..domain import collect_doubts, warn
from ..errors import Doubt, FastsrError, InputError
from ..images import read, save
from ..images.resizing import resize
from ..methods import Method
from ..runtime.device import resolve_device
from .folder import BICUBIC, REFERENCE, Folder, Machine, Settings
from .report import write_report
from .table import HEADER, MEAN, Mean, Row, cells, line, mean_cells, write_csv

# A process waits for the others as long as their last images take.
PATIENCE = timedelta(days=30)


@dataclass(frozen=True)
class Ranks:
    """This process among those that share the work: its rank, their count, its rank on this machine."""

    rank: int
    count: int
    local_rank: int

    def device(self, device: str | torch.device | None) -> torch.device:
        """Return the requested device; with several processes, each takes its own GPU unless a GPU is named."""
        resolved = resolve_device(device)
        if self.count > 1 and resolved.type == "cuda" and resolved.index is None:
            return resolve_device(f"cuda:{self.local_rank}")
        return resolved

    def share(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return the samples of this process; every sample belongs to one process.

        With several processes, rank 0's list counts, and the largest files come first, for an even load.
        """
        if self.count == 1:
            return list(samples)
        box = [sorted(samples, key=lambda sample: (-sample.hr.stat().st_size, sample.name))]
        distributed.broadcast_object_list(box, src=0)
        return box[0][self.rank :: self.count]

    def wait(self) -> None:
        """Wait until all processes call this."""
        self.gather(None)

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, in every process."""
        if self.count == 1:
            return [value]
        values = [None] * self.count
        distributed.all_gather_object(values, value)
        return values


def join() -> Ranks:
    """Return the ranks of processes started by torchrun, or of one process alone.

    The process group is made once, for it cannot be made a second time.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "RANK" not in os.environ:
        return Ranks(0, 1, 0)
    if not distributed.is_initialized():
        distributed.init_process_group("gloo", timeout=PATIENCE)
        atexit.register(distributed.destroy_process_group)
    return Ranks(distributed.get_rank(), count, int(os.environ.get("LOCAL_RANK", "0")))


@dataclass(frozen=True)
class Run:
    """An evaluation that is ready to run.

    Attributes:
        method, options, factor, device: arguments of `Method.upscale`.
        protocol: prepares the inputs and scores the results.
        samples: the images, in the order of the table.
        folder: folder of the results, opened.
        machine: machine that this process runs on.
        ranks: processes that share the images.
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
        """Upscale and score this process's share of the images that are not done yet.

        A process alone shows the rows of earlier runs, then each of its own rows when it is done. Images outside the
        domain of the weights cause one warning, at the end.

        Returns:
            The rows, including those of earlier runs, and the failures by the names of the images; the same in every
            process.
        """
        rows = {row.image: row for row in self.rows()}
        failures = {}
        doubts: dict[str, list[Doubt]] = {}
        if self._alone:
            for values in (HEADER, *map(cells, rows.values())):
                self._show(values)
        for sample in self.ranks.share([sample for sample in self.samples if sample.name not in rows]):
            try:
                with collect_doubts() as found:
                    row = self._work_on(sample)
            except FastsrError as error:
                failures[sample.name] = str(error)
            except Exception as error:  # in a method: GPU out of memory, a bug in a user's method
                traceback.print_exc()
                failures[sample.name] = f"{type(error).__name__}: {error}"
            else:
                rows[sample.name] = row
                doubts[sample.name] = [replace(doubt, name=sample.name) for doubt in found]
                if self._alone:
                    self._show(cells(row))
                else:
                    print(self._line(cells(row)), file=sys.stderr, flush=True)  # rank 0 prints the table at the end
        # The rows themselves are gathered, for a shared file system may show files of other machines with a delay.
        for more_rows, more_failures, more_doubts in self.ranks.gather((rows, failures, doubts)):
            rows.update(more_rows)
            failures.update(more_failures)
            doubts.update(more_doubts)
        if self.ranks.rank == 0:
            warn((doubt for sample in self.samples for doubt in doubts.get(sample.name, ())), stacklevel=4)
        return [rows[sample.name] for sample in self.samples if sample.name in rows], failures

    def rows(self) -> list[Row]:
        """Return the rows in the folder, in the order of the images."""
        return [row for sample in self.samples if (row := self.folder.row(sample.name)) is not None]

    def write_table(self, rows: Sequence[Row]) -> None:
        """Write results.csv, if there are rows."""
        if rows:
            write_csv(rows, self.folder.path / "results.csv", self._mean_of(rows))

    def finish(self, rows: Sequence[Row], mean: Mean, settings: Settings, failures: Mapping[str, str]) -> None:
        """Show the mean, and with several processes the rows above it, and write the CSV and the report."""
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
        """Return the name of the mean, which tells if it is over a part of the images."""
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
        result = to_uint8(upscaled)
        if result.shape != case.hr.shape:
            raise InputError(
                f"method {self.method.name!r} returned {_describe(result)} for {_describe(case.lr)}; the reference has "
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
        """Return the image files of the report by title; for the method bicubic, bicubic appears once."""
        return {
            BICUBIC: self.folder.picture(name, BICUBIC),
            self.method.name: self.folder.picture(name),
            "HR": self.folder.picture(name, REFERENCE),
        }


def _facts(settings: Settings, machine: Machine, failures: Mapping[str, str]) -> dict[str, str]:
    """Return the facts of the report, without the path of the data, which is private."""
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
