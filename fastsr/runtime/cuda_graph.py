"""A step captured as one CUDA graph, so that the GPU does not wait for Python between the kernels."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch

WARM_UP = 3
"""Calls before the capture: they compile kernels, choose algorithms and allocate lasting buffers."""


class Graphed:
    """Captures `step`, which takes no arguments and reads and writes the same memory at every call, and replays it.

    The first `WARM_UP` calls run eagerly, later ones replay the capture. A step that cannot be captured, because it
    waits for the GPU or copies from the host, keeps running eagerly, after a warning.

    Attributes:
        problem: why the step could not be captured; None if it was, or has not yet been tried.
    """

    def __init__(self, step: Callable[[], None], device: torch.device):
        self.problem: str | None = None
        self._step, self._device = step, device
        self._calls = 0
        self._warm_up_stream: torch.cuda.Stream | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Run one step."""
        if self._calls == WARM_UP:
            self._capture()
        self._calls += 1
        if self._graph is not None:
            self._graph.replay()
        elif self._calls <= WARM_UP:
            self._warm_up()
        else:
            self._step()

    def _warm_up(self) -> None:
        """Run on a side stream, as CUDA graphs require; always the same one, because each stream keeps its memory."""
        with torch.cuda.device(self._device):
            self._warm_up_stream = self._warm_up_stream or torch.cuda.Stream()
            self._warm_up_stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._warm_up_stream):
                self._step()
            torch.cuda.current_stream().wait_stream(self._warm_up_stream)

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        # The capture uses the stream of the warm-up, to which the tensors that autograd kept from it belong. A failed
        # capture does not restore the caller's stream: the outer context does. Other threads may use the GPU meanwhile.
        capture = torch.cuda.graph(graph, stream=self._warm_up_stream, capture_error_mode="thread_local")
        try:
            with torch.cuda.device(self._device), torch.cuda.stream(torch.cuda.current_stream()), capture:
                self._step()
        except RuntimeError as error:
            self.problem = _first_cause(error)
            message = f"the steps run one kernel at a time, because they cannot be captured: {self.problem}"
            warnings.warn(message, RuntimeWarning, stacklevel=4)
        else:
            self._graph = graph


def _first_cause(error: BaseException) -> str:
    """Return the first line of the original error: ending a failed capture raises another one."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error).partition("\n")[0]
