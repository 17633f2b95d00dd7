"""The losses of the steps between two lines of the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from ..errors import TrainingError


class Meter:
    """Sums of losses, and for each loss the first step in which it was not finite.

    All of it stays on the device until it is asked for: reading a number there would make each step wait.
    """

    def __init__(self, accelerator: Accelerator):
        self._accelerator = accelerator
        self._names: tuple[str, ...] = ()
        self._sums = self._broken = torch.empty(0)
        self._count = 0

    def add(self, losses: Mapping[str, Tensor], step: int) -> None:
        """Add the losses of step number `step`, counted from 1."""
        if self._names != tuple(losses):
            self._names = tuple(losses)
            self._clear()
        values = torch.stack([value.detach().double() for value in losses.values()])
        self._sums += values
        self._broken = torch.where((self._broken == 0) & ~values.isfinite(), step, self._broken)
        self._count += 1

    def check(self) -> None:
        """Raise `TrainingError` in all processes where a loss of one of them was not finite."""
        broken = self._accelerator.gather(self._broken).reshape(-1, len(self._names)).tolist()
        found = [(step, name) for row in broken for step, name in zip(row, self._names, strict=True) if step]
        if found:
            step, name = min(found)
            raise TrainingError(f"the loss {name!r} is not finite in step {step}")

    def share(self) -> None:
        """Give all processes the means over them."""
        self._sums = self._accelerator.reduce(self._sums, "mean")

    def read(self) -> dict[str, float]:
        """Return the mean of each loss over all steps since the last time, and over all processes."""
        self.share()
        means = dict(zip(self._names, (self._sums / self._count).tolist(), strict=True))
        self._clear()
        return means

    def state(self) -> dict[str, Any]:
        """Return the sums, for a checkpoint."""
        return {"names": list(self._names), "sums": self._sums.cpu(), "count": self._count}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on with the sums of a checkpoint."""
        self._names = tuple(state["names"])
        self._clear()
        self._sums, self._count = state["sums"].to(self._accelerator.device), state["count"]

    def _clear(self) -> None:
        device = self._accelerator.device
        self._sums = torch.zeros(len(self._names), dtype=torch.float64, device=device)
        self._broken = torch.zeros(len(self._names), dtype=torch.int64, device=device)
        self._count = 0
