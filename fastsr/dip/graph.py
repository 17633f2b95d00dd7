"""A step that runs as one CUDA graph: the GPU gets it whole, and does not wait for Python between its kernels."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch

WARM_UP = 3
"""Calls before the capture: they compile kernels, choose algorithms and make what is made once."""


class Graphed:
    """Calls `step`, a function of nothing that reads and writes the same memory every time, and captures it.

    The first calls run as they are, later ones replay the capture. Where `step` cannot be captured, because it waits
    for the GPU or copies from the host, it goes on running as it is, after a warning.

    Attributes:
        problem: why the step was not captured; None where it was, or has not been called often enough.
    """

    def __init__(self, step: Callable[[], None], device: torch.device):
        self.problem: str | None = None
        self._step, self._device = step, device
        self._calls = 0
        self._aside: torch.cuda.Stream | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Do one step."""
        if self._calls == WARM_UP:
            self._capture()
        self._calls += 1
        if self._graph is not None:
            self._graph.replay()
        elif self._calls <= WARM_UP:
            self._run_aside()
        else:
            self._step()

    def _run_aside(self) -> None:
        """Run on a stream of its own, as what precedes a capture must; on one, for each keeps its memory."""
        with torch.cuda.device(self._device):
            self._aside = self._aside or torch.cuda.Stream()
            self._aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._aside):
                self._step()
            torch.cuda.current_stream().wait_stream(self._aside)

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.device(self._device), torch.cuda.graph(graph):
                self._step()
        except RuntimeError as error:
            self.problem = str(error).partition("\n")[0]
            message = f"the steps run one kernel at a time, for they cannot be captured: {self.problem}"
            warnings.warn(message, RuntimeWarning, stacklevel=4)
        else:
            self._graph = graph
