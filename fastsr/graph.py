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
        # Captured is on the stream of the warm-up, to which what autograd keeps from it belongs. A capture that fails
        # does not give the caller's stream back: the outer context does. Other threads may use the GPU meanwhile.
        captured = torch.cuda.graph(graph, stream=self._aside, capture_error_mode="thread_local")
        try:
            with torch.cuda.device(self._device), torch.cuda.stream(torch.cuda.current_stream()), captured:
                self._step()
        except RuntimeError as error:
            self.problem = _first_cause(error)
            message = f"the steps run one kernel at a time, for they cannot be captured: {self.problem}"
            warnings.warn(message, RuntimeWarning, stacklevel=4)
        else:
            self._graph = graph


def _first_cause(error: BaseException) -> str:
    """Return the first line of what went wrong first: ending a spoilt capture is an error of its own."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error).partition("\n")[0]
