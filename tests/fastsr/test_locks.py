import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from fastsr.errors import OutputError
from fastsr.locks import sole_use, sole_use_or_error

REFUSED, ENTERED = 3, 4
ENTER = f"""
import sys
from pathlib import Path
from fastsr.errors import OutputError
from fastsr.locks import sole_use_or_error
try:
    with sole_use_or_error(Path(sys.argv[1]), "taken"):
        sys.exit({ENTERED})
except OutputError as error:
    sys.exit({REFUSED} if str(error) == "taken" else str(error))
"""

FORK = """
import os, sys, time
from pathlib import Path
from fastsr.locks import sole_use_or_error
with sole_use_or_error(Path(sys.argv[1]), "taken"):
    child = os.fork()
    if not child:
        os.close(1)
        os.close(2)
        time.sleep(60)
    print(child, flush=True)
    os._exit(0)
"""


@pytest.fixture
def lock(tmp_path):
    return tmp_path / ".lock"


def enter(lock):
    return subprocess.run([sys.executable, "-c", ENTER, lock]).returncode


def test_another_process_is_refused_until_the_block_ends(lock):
    with sole_use_or_error(lock, "taken"):
        assert enter(lock) == REFUSED
    assert not lock.exists()
    assert enter(lock) == ENTERED
    assert not lock.exists()


def test_a_process_forked_in_the_block_does_not_hold_it(lock):
    fork = subprocess.run([sys.executable, "-c", FORK, lock], capture_output=True, text=True, check=True)
    assert lock.exists()
    try:
        with sole_use_or_error(lock, "taken"):
            pass
    finally:
        os.kill(int(fork.stdout), signal.SIGKILL)


def test_what_a_killed_process_left_keeps_nobody_out(lock):
    lock.touch()
    with sole_use_or_error(lock, "taken"):
        pass
    assert not lock.exists()


def test_a_lock_that_cannot_be_made_is_told(tmp_path):
    for use in (sole_use(tmp_path / "nowhere" / ".lock"), sole_use_or_error(tmp_path / "nowhere" / ".lock", "taken")):
        with pytest.raises(OutputError, match="cannot be written"), use:
            pass


def test_one_waits_for_the_other(lock):
    seen = []

    def work():
        with sole_use(lock):
            seen.append("other")

    with sole_use(lock):
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.05)
        seen.append("one")
    thread.join()
    assert seen == ["one", "other"]
