"""Work on many things in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import torch

from ..errors import NotEnoughMemoryError

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Items begun for each process: more results would pile up where they are used more slowly than they are made."""


def in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Generator[tuple[Item, Result], None, None]:
    """Yield each item with what a function makes of it, in the order in which they are done.

    When the generator is closed what has begun is finished, and no more is begun. The processes end with this one,
    however it ends; Ctrl-C is left to it.

    Args:
        function: can be pickled; it works on one thread.
        items: likewise.
        workers: how many processes; for one, or one item, there is none beside this.

    Raises:
        NotEnoughMemoryError: a process ended in the midst of work.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        yield from ((item, function(item)) for item in items)
        return
    # Not forked: torch's threads would not be there.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin_worker)
    waiting = iter(items)
    running: dict[Future[Result], Item] = {}
    try:
        while True:
            with _ctrl_c_for_this_process():
                for item in islice(waiting, AHEAD * workers - len(running)):
                    running[pool.submit(function, item)] = item
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
    except BrokenProcessPool as error:
        raise NotEnoughMemoryError(
            f"one of workers={workers} ended in the midst of work, most likely for want of memory; take fewer"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _ctrl_c_for_this_process() -> Iterator[None]:
    """Begin processes that do not hear Ctrl-C, which a terminal sends to all, not even while they are starting."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker() -> None:
    """Work on one thread, leave Ctrl-C to the parent process, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows nothing else does
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
