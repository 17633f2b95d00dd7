"""The processes that share an evaluation: those that torchrun started, or just this one."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from ..data.benchmarks import Sample
from ..device import resolve_device

# One process waits for another for as long as that needs for its last picture.
PATIENCE = timedelta(days=30)


@dataclass(frozen=True)
class Ranks:
    """This process among those that share the work: its number, how many there are, its number on this machine."""

    rank: int
    count: int
    local_rank: int

    def device(self, device: str | torch.device | None) -> torch.device:
        """Return the device asked for; each process of several takes a GPU of its own, unless one is named."""
        resolved = resolve_device(device)
        if self.count > 1 and resolved.type == "cuda" and resolved.index is None:
            return resolve_device(f"cuda:{self.local_rank}")
        return resolved

    def share(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return this process's part of what rank 0 sees as `samples`; every one is in the part of one process.

        Among several processes the largest files come first, so that none is left alone with a large one at the end.
        """
        if self.count == 1:
            return list(samples)
        box = [sorted(samples, key=lambda sample: (-sample.hr.stat().st_size, sample.name))]
        distributed.broadcast_object_list(box, src=0)
        return box[0][self.rank :: self.count]

    def wait(self) -> None:
        """Wait for all processes."""
        self.gather(None)

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, in all of them, once each has given its own."""
        if self.count == 1:
            return [value]
        values = [None] * self.count
        distributed.all_gather_object(values, value)
        return values


def join() -> Ranks:
    """Join the processes that torchrun started, if it did: once, for their group cannot be made a second time."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "RANK" not in os.environ:
        return Ranks(0, 1, 0)
    if not distributed.is_initialized():
        distributed.init_process_group("gloo", timeout=PATIENCE)
        atexit.register(distributed.destroy_process_group)
    return Ranks(distributed.get_rank(), count, int(os.environ.get("LOCAL_RANK", "0")))
