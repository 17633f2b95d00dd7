import os
import signal
import threading

import pytest

from fastsr.training.stopping import stop_on_signals


def test_a_first_signal_is_noted_and_a_second_one_is_not_held_back():
    with stop_on_signals() as stop:
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_forked_process_ignores_signals(number, monkeypatch):
    with stop_on_signals() as stop:
        handler = signal.getsignal(number)
        monkeypatch.setattr(os, "getpid", lambda: -1)
        handler(number, None)
        monkeypatch.undo()
        assert not stop.requested
        assert signal.getsignal(number) is handler


def test_another_thread_changes_nothing():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with stop_on_signals() as stop:
            seen.extend([signal.getsignal(signal.SIGINT), stop.requested])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, False]
