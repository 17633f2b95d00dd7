"""Being asked to stop: by Ctrl-C, or by SIGTERM as clusters do."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether this process was asked to stop."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Note a first signal instead of dying of it; a second one of its kind does what it always does.

    Processes forked meanwhile, which a signal to the group reaches too, ignore signals: who forked them ends them.
    Outside the main thread, which alone gets signals, nothing is changed.
    """
    stop, owner = Stop(), os.getpid()
    before: dict[signal.Signals, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            stop.requested = True
            signal.signal(number, before[signal.Signals(number)])

    if threading.current_thread() is threading.main_thread():
        before = {each: signal.signal(each, note) for each in SIGNALS}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
