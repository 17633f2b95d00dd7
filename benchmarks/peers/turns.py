"""Rivals that take turns, each in a process of its own: what slows the machine for a while slows all of them."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

import torch

from benchmarks.memory import peak_bytes, reset_peak_bytes

from .packages import in_words

Make = Callable[[str], Any]
"""From the name of a rival to what does its work; a function of a module, for it is called in the rival's process."""

LEAST_ROUNDS = 3

_work: Any = None
_failure: str | None = None


class Rival:
    """A rival's process."""

    def __init__(self, process: ProcessPoolExecutor):
        self._process = process

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `function` returns for this rival's work and the arguments, in its process."""
        return self._process.submit(_answer, function, *arguments).result()


@contextmanager
def rivals(make: Make, names: tuple[str, ...]) -> Iterator[tuple[dict[str, Rival], dict[str, str]]]:
    """Start a process for each of `names`, with as many threads as this one.

    Yields:
        The rivals, and for those that could not be made the reason, in words.
    """
    spawn = multiprocessing.get_context("spawn")  # a forked process would inherit threads that do not run in it
    with ExitStack() as stack:
        found, failures = {}, {}
        for name in names:
            arguments = make, name, torch.get_num_threads()
            process = stack.enter_context(ProcessPoolExecutor(1, spawn, initializer=_begin, initargs=arguments))
            failure = process.submit(_reason).result()
            if failure is None:
                found[name] = Rival(process)
            else:
                failures[name] = failure
        yield found, failures


def take_turns(
    found: dict[str, Rival], function: Callable[..., Any], *arguments: Any, rounds: int, seconds: float
) -> dict[str, dict[str, float]]:
    """Time the call that `function` makes ready, in turns; return for each rival its costs.

    Args:
        found: the rivals.
        function: given a rival's work and the arguments, it returns the call.
        arguments: of `function`.
        rounds: that are timed, after one that is not.
        seconds: after which a rival takes part in no further round, once it has had `LEAST_ROUNDS`. A rival whose first
            call takes longer has no other one.

    Returns:
        `seconds`, the median; `fastest`, `slowest`, `rounds`, and `peak_bytes`, the most by which a call raised the
        memory of the process.
    """
    first = {name: rival.ask(measured, function, *arguments) for name, rival in found.items()}
    timed: dict[str, list[float]] = {name: [] for name in found}
    peaks = {name: peak for name, (_, peak) in first.items()}
    for turn in range(rounds):
        for name, rival in found.items():
            slow = first[name][0] > seconds or (turn >= LEAST_ROUNDS and sum(timed[name]) > seconds)
            if not slow:
                spent, peak = rival.ask(measured, function, *arguments)
                timed[name].append(spent)
                peaks[name] = max(peaks[name], peak)
    return {name: _costs(taken or [first[name][0]], peaks[name]) for name, taken in timed.items()}


def measured(work: Any, function: Callable[..., Any], *arguments: Any) -> tuple[float, int]:
    """Return the seconds of a call, and by how many bytes it raised the memory of this process at its peak."""
    call = function(work, *arguments)
    before = reset_peak_bytes()
    start = time.perf_counter()
    result = call()  # kept until the peak is read
    spent = time.perf_counter() - start
    grown = peak_bytes() - before
    del result
    return spent, grown


def _costs(taken: list[float], peak: int) -> dict[str, float]:
    return {
        "seconds": median(taken),
        "fastest": min(taken),
        "slowest": max(taken),
        "rounds": len(taken),
        "peak_bytes": peak,
    }


def _begin(make: Make, name: str, threads: int) -> None:
    global _work, _failure
    torch.set_num_threads(threads)
    try:
        _work, _failure = make(name), None
    except Exception as error:  # whatever a package does when it is imported or called
        _failure = in_words(error)


def _reason() -> str | None:
    return _failure


def _answer(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(_work, *arguments)
